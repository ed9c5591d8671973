// The live feed: messages appear and are edited in place; a lost connection is said and made up for.
import { restingPlace } from "./buttons.js";
import { morph } from "./morph.js";
import { days, tick } from "./times.js";

const body = document.body;
const messages = document.getElementById("messages");
const connection = document.getElementById("connection");
const news = document.getElementById("news");
const moved = document.getElementById("moved");
// The server beats every 15 s.
const SILENCE = 40_000;
// Browsers allow six connections per host; a tab that nobody has looked at for this long gives its own back.
const HIDDEN = 5 * 60_000;

let source;
let after = Number(body.dataset.after ?? 0);
let pause = 1000;
let watchdog;
let hiding;
let retry;

const listening = () => body.dataset.channel ?? document.getElementById("incident").dataset.channelOf;

export function startLive() {
  if (messages) seen(highest());
  unread();
  connect();
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiding);
    if (document.hidden) hiding = setTimeout(disconnect, HIDDEN);
    else if (!source) connect();
  });
  if (!messages) return;
  messages.addEventListener("click", older);
  if (location.hash.startsWith("#INC-")) find(location.hash.slice(1))?.scrollIntoView();
  else if (!location.hash) toEnd();
}

function find(slot) {
  return messages.querySelector(`[data-slot="${CSS.escape(slot)}"]`);
}

function connect() {
  clearTimeout(retry);
  // An incident's own page shows its card alone, which may stand far back in the channel.
  const alone = messages ? "" : `&slot=${encodeURIComponent(document.getElementById("incident").dataset.slot)}`;
  source = new EventSource(`/events?channel=${encodeURIComponent(listening())}&after=${after}${alone}`);
  source.addEventListener("hello", ({ data }) => {
    pause = 1000;
    connected(data === body.dataset.build ? "" : "Mayday was updated.");
  });
  source.addEventListener("message", (event) => {
    alive();
    show(JSON.parse(event.data));
    after = Math.max(after, Number(event.lastEventId) || 0);
  });
  source.addEventListener("channel", ({ data }) => (alive(), numbers(JSON.parse(data))));
  source.addEventListener("beat", alive);
  source.addEventListener("reload", reload);
  source.addEventListener("signed-out", () => (disconnect(), tell("You are signed out.")));
  source.addEventListener("error", lost);
  alive();
}

function disconnect() {
  source?.close();
  source = undefined;
  clearTimeout(watchdog);
}

function alive() {
  clearTimeout(watchdog);
  watchdog = setTimeout(lost, SILENCE);
}

function lost() {
  disconnect();
  tell("Connection lost. Trying again; what you see may be old.");
  clearTimeout(retry);
  retry = setTimeout(connect, pause);
  pause = Math.min(pause * 1.6, 15_000);
  signedOut();
}

// The feed itself can't say why it was refused.
async function signedOut() {
  const response = await fetch("/complete?line=").catch(() => undefined);
  if (response?.status !== 401) return;
  clearTimeout(retry);
  tell("You are signed out.");
}

// Says something above everything else, with a way to load the page again unless it is over by itself.
function tell(text) {
  connection.hidden = !text;
  connection.textContent = text;
  if (text && !text.startsWith("Connection")) {
    const link = document.createElement("a");
    link.href = location.href;
    link.textContent = "Load again";
    connection.append(" ", link);
  }
}

function connected(text) {
  alive();
  tell(text);
}

// Too much was missed: load the state again, but not under a half-written line.
function reload() {
  disconnect();
  const busy = [...document.querySelectorAll("input")].some((input) => input.value && input.type !== "hidden");
  if (busy) tell("This page missed some changes.");
  else location.reload();
}

function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content.firstElementChild;
}

function show({ channel, seq, root, html, said }) {
  if (channel !== listening()) return;
  const drawn = parse(html);
  if (!messages) return showAlone(drawn, said);
  const atEnd = nearEnd();
  const old = document.getElementById(`m-${seq}`);
  const anchor = atEnd ? undefined : firstVisible();
  const focused = old?.contains(document.activeElement);
  if (old) {
    morph(root === null ? old.querySelector(":scope > .root") : old, root === null ? drawn.querySelector(".root") : drawn);
  } else if (!place(drawn, seq, root)) {
    return;
  }
  const changed = document.getElementById(`m-${seq}`);
  tick(changed);
  // The button that had the focus may be gone; what became of it stands where it was.
  if (focused && document.activeElement === body) restingPlace(changed)?.focus({ preventScroll: true });
  if (!old && root === null) days();
  document.getElementById("empty").hidden = true;
  flash(changed.closest(".block"));
  if (anchor) window.scrollBy({ top: anchor.node.getBoundingClientRect().top - anchor.top, behavior: "instant" });
  if (atEnd && !old) toEnd();
  else pointTo(changed.closest(".block"));
  announce(said);
  seen(seq);
}

// An incident's own page shows its card alone.
function showAlone(drawn, said) {
  const place = document.getElementById("incident");
  if (drawn.dataset.slot !== place.dataset.slot) return;
  const focused = place.contains(document.activeElement);
  morph(place.querySelector(".card"), drawn.querySelector(".card"));
  tick(place);
  if (focused && document.activeElement === body) restingPlace(place)?.focus({ preventScroll: true });
  announce(said);
}

// Puts a new message where its number belongs; false if that is before what the page has loaded.
function place(drawn, seq, root) {
  const into = root === null ? messages : document.querySelector(`[data-thread="${root}"]`);
  if (!into) return false;
  const siblings = [...into.querySelectorAll(":scope > [data-seq]")];
  const next = siblings.find((sibling) => Number(sibling.dataset.seq) > seq);
  if (next && next === siblings[0] && into.querySelector(":scope > .earlier")) return false;
  if (next) next.before(drawn);
  else into.append(drawn);
  return true;
}

function firstVisible() {
  const node = [...messages.querySelectorAll(".block")].find((block) => block.getBoundingClientRect().bottom > 60);
  return node && { node, top: node.getBoundingClientRect().top };
}

// Whether the newest message is in sight: then the next one may scroll in.
function nearEnd() {
  const last = messages.querySelector(":scope > .block:last-of-type");
  return !last || last.getBoundingClientRect().top < window.innerHeight - 90;
}

// To the newest message: its end, but never past its first line, which says what is wrong.
function toEnd() {
  const last = messages.querySelector(":scope > .block:last-of-type");
  const top = last ? last.getBoundingClientRect().top + window.scrollY - headroom() : Infinity;
  window.scrollTo({ top: Math.min(document.documentElement.scrollHeight, top), behavior: "instant" });
}

// On a phone the channels stand above the messages.
function headroom() {
  const nav = document.querySelector("nav");
  return getComputedStyle(nav).flexDirection === "row" ? nav.offsetHeight + 10 : 16;
}

function flash(node) {
  node.classList.remove("changed");
  void node.offsetWidth;
  node.classList.add("changed");
}

// A message that changed out of sight is one key away.
function pointTo(block) {
  const { top, bottom } = block.getBoundingClientRect();
  if (bottom > 60 && top < window.innerHeight - 90) return;
  const link = document.createElement("a");
  link.href = `#${block.id}`;
  const card = block.querySelector(".card .id")?.textContent;
  link.textContent = `${card || "A message"} changed ${top < 60 ? "above" : "below"}`;
  link.addEventListener("click", () => (moved.hidden = true));
  moved.replaceChildren(link);
  moved.hidden = false;
  clearTimeout(pointTo.timer);
  pointTo.timer = setTimeout(() => (moved.hidden = true), 12_000);
}

let spoken;
function announce(text) {
  // A card may be edited several times a second; the newest is worth hearing.
  clearTimeout(spoken);
  spoken = setTimeout(() => {
    const line = document.createElement("p");
    line.textContent = text;
    news.append(line);
    while (news.children.length > 5) news.firstChild.remove();
  }, 400);
}

// ---- numbers beside the channels

function numbers({ name, open, last }) {
  const link = document.querySelector(`[data-channel-link="${CSS.escape(name)}"]`) ?? listed(name);
  link.dataset.last = last;
  const count = link.querySelector(".count");
  count.hidden = open === 0;
  count.querySelector("b").textContent = open;
  if (name === body.dataset.channel) document.title = `${open ? `(${open}) ` : ""}#${name} · Mayday`;
  unread();
}

// A channel that was not there when the page was drawn; what it holds is news.
function listed(name) {
  const item = parse(`<li><a><span class="name"></span><span class="unread" hidden></span>
    <span class="count" title="open incidents" hidden><b></b><span class="unseen"> open</span></span></a></li>`);
  const link = item.firstElementChild;
  link.href = `/channels/${encodeURIComponent(name)}`;
  link.dataset.channelLink = name;
  link.querySelector(".name").textContent = `# ${name}`;
  if (localStorage.getItem(key(name)) === null) localStorage.setItem(key(name), 0);
  const items = [...document.querySelectorAll("nav .channels > li")];
  const next = items.find((other) => other.firstElementChild.dataset.channelLink > name);
  if (next) next.before(item);
  else document.querySelector("nav .channels").append(item);
  return link;
}

const key = (channel) => `mayday-seen-${channel}`;

function seen(seq) {
  if (document.hidden) return;
  const channel = body.dataset.channel;
  const before = Number(localStorage.getItem(key(channel)) ?? 0);
  if (seq > before) localStorage.setItem(key(channel), seq);
}

function unread() {
  for (const link of document.querySelectorAll("[data-channel-link]")) {
    const channel = link.dataset.channelLink;
    const stored = localStorage.getItem(key(channel));
    // A channel this browser has never shown counts from now on.
    if (stored === null) localStorage.setItem(key(channel), link.dataset.last);
    const count = channel === body.dataset.channel ? 0 : Math.max(0, Number(link.dataset.last) - Number(stored ?? link.dataset.last));
    const badge = link.querySelector(".unread");
    badge.hidden = count === 0;
    badge.textContent = count > 99 ? "99" : count;
    badge.title = `${count} new`;
  }
}

function highest() {
  return Math.max(0, ...[...messages.querySelectorAll("[data-seq]")].map((node) => Number(node.dataset.seq)));
}

// ---- going back

async function older(event) {
  const button = event.target.closest("[data-before], [data-earlier]");
  if (!button) return;
  button.disabled = true;
  const channel = encodeURIComponent(body.dataset.channel);
  const thread = button.dataset.earlier;
  const path = thread ? `/channels/${channel}/threads/${thread}` : `/channels/${channel}/messages?before=${button.dataset.before}`;
  const response = await fetch(path).catch(() => undefined);
  if (!response?.ok) {
    button.disabled = false;
    button.textContent = "Could not be loaded. Try again";
    return;
  }
  const template = document.createElement("template");
  template.innerHTML = await response.text();
  const anchor = firstVisible();
  const into = thread ? button.parentElement : messages;
  if (thread) into.replaceChildren(template.content);
  else button.replaceWith(template.content);
  tick(into);
  days();
  if (anchor?.node.isConnected) window.scrollBy({ top: anchor.node.getBoundingClientRect().top - anchor.top, behavior: "instant" });
  (into.querySelector(".earlier") ?? into.querySelector("[data-seq]"))?.focus({ preventScroll: true });
}
