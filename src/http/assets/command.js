// The command box: completion (arrows, Tab, Enter, Esc), what was said before, and answers that only you see.
import { say } from "./post.js";
import { tick } from "./times.js";

const form = document.getElementById("command");
const line = document.getElementById("line");
const list = document.getElementById("completions");
const answer = document.getElementById("answer");
const HISTORY = "mayday-said";

let options = [];
let active = -1;
let asked = 0;
let wait;
let past = JSON.parse(sessionStorage.getItem(HISTORY) ?? "[]");
let at = past.length;

export function startCommand() {
  line.addEventListener("input", () => {
    at = past.length;
    clearTimeout(wait);
    wait = setTimeout(complete, 60);
  });
  line.addEventListener("keydown", keys);
  line.addEventListener("blur", () => setTimeout(() => !form.contains(document.activeElement) && close(), 120));
  list.addEventListener("mousedown", (event) => {
    event.preventDefault();
    const item = event.target.closest("li");
    if (item) accept([...list.children].indexOf(item));
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  answer.querySelector("[data-close-answer]").addEventListener("click", () => {
    answer.hidden = true;
    line.focus();
  });
}

async function complete() {
  const text = line.value;
  const turn = ++asked;
  if (!text.trim()) return close();
  const response = await fetch(`/complete?line=${encodeURIComponent(text)}`).catch(() => undefined);
  const found = response?.ok ? await response.json() : [];
  // An answer to an older question would replace a newer one.
  if (turn !== asked || line.value !== text) return;
  options = found.filter((option) => option.line !== text);
  active = -1;
  draw();
}

function draw() {
  list.replaceChildren(
    ...options.map((option, index) => {
      const item = document.createElement("li");
      item.id = `completion-${index}`;
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", String(index === active));
      const code = document.createElement("code");
      code.textContent = option.line;
      const hint = document.createElement("span");
      hint.className = "hint";
      hint.textContent = option.hint;
      item.append(code, hint);
      return item;
    }),
  );
  list.hidden = options.length === 0;
  if (options.length) answer.hidden = true;
  line.setAttribute("aria-expanded", String(!list.hidden));
  if (active >= 0) {
    line.setAttribute("aria-activedescendant", `completion-${active}`);
    list.children[active].scrollIntoView({ block: "nearest" });
  } else line.removeAttribute("aria-activedescendant");
}

function close() {
  asked++;
  options = [];
  active = -1;
  draw();
}

function accept(index) {
  line.value = options[index].line;
  if (!line.value.endsWith(" ")) line.value += " ";
  close();
  line.focus();
  complete();
}

function keys(event) {
  const open = !list.hidden;
  const move = (by) => {
    event.preventDefault();
    active = (active + by + options.length + (active < 0 && by < 0 ? 1 : 0)) % options.length;
    draw();
  };
  if (event.key === "ArrowDown") {
    if (open) move(1);
    else recall(event, 1);
  } else if (event.key === "ArrowUp") {
    if (open) move(-1);
    else recall(event, -1);
  } else if (event.key === "Tab" && open && !event.shiftKey) {
    event.preventDefault();
    accept(Math.max(active, 0));
  } else if (event.key === "Enter" && open && active >= 0) {
    event.preventDefault();
    accept(active);
  } else if (event.key === "Escape") {
    if (open) close();
    else if (!answer.hidden) answer.hidden = true;
    else line.blur();
    event.preventDefault();
  }
}

function recall(event, by) {
  const next = at + by;
  if (next < 0 || next > past.length) return;
  event.preventDefault();
  at = next;
  line.value = past[at] ?? "";
  line.setSelectionRange(line.value.length, line.value.length);
}

async function send() {
  const text = line.value.trim();
  if (!text || line.readOnly) return;
  close();
  clearTimeout(wait);
  past = [...past.filter((old) => old !== text), text].slice(-50);
  at = past.length;
  sessionStorage.setItem(HISTORY, JSON.stringify(past));
  line.readOnly = true;
  const result = await say(text);
  line.readOnly = false;
  if (result.ok) line.value = "";
  show(result);
}

// What the channel shows stands there; what only you see stands above the box.
function show({ ok, text, shown, html }) {
  answer.hidden = Boolean(shown);
  if (shown) return;
  const into = answer.querySelector(".answer-body");
  if (html) into.innerHTML = html;
  else {
    const p = document.createElement("p");
    p.className = "text";
    p.textContent = text;
    into.replaceChildren(p);
  }
  answer.classList.toggle("refused", !ok);
  tick(answer);
}
