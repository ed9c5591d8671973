// Times as people read them: "4 min ago", ticking, the exact time on hover; clocks in the reader's own zone.
const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long", hourCycle: "h23" });
const hours = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dates = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
// The server's clock counts: a laptop that is two minutes off must not say "in 2 min".
const offset = document.body.dataset.now ? Date.parse(document.body.dataset.now) - Date.now() : 0;

function relative(ms) {
  const seconds = Math.max(0, Math.round((Date.now() + offset - ms) / 1000));
  if (seconds < 3) return "just now";
  const at = units.findIndex(([, size]) => seconds >= size);
  const [name, size] = units[at];
  let text = `${Math.floor(seconds / size)} ${name}`;
  const next = units[at + 1];
  if (next && name !== "min") {
    const rest = Math.floor((seconds % size) / next[1]);
    if (rest) text += ` ${rest} ${next[0]}`;
  }
  return `${text} ago`;
}

export function tick(within = document) {
  for (const node of within.querySelectorAll("[data-ago], [data-clock], [data-exact]")) {
    const ms = Date.parse(node.getAttribute("datetime") ?? node.dataset.clock);
    if (Number.isNaN(ms)) continue;
    const text = "ago" in node.dataset ? relative(ms) : "exact" in node.dataset ? exact.format(ms) : hours.format(ms);
    if (node.textContent !== text) node.textContent = text;
    if (node.tagName === "TIME") node.title = exact.format(ms);
  }
}

// A line with the date above the first message of each day, in the reader's zone.
export function days() {
  let day = "";
  for (const old of document.querySelectorAll("#messages > .day[data-day]")) old.remove();
  for (const block of document.querySelectorAll("#messages > .block")) {
    const name = dates.format(Date.parse(block.dataset.at));
    if (name !== day) {
      const line = document.createElement("p");
      line.className = "day";
      line.dataset.day = "";
      line.textContent = day = name;
      block.before(line);
    }
  }
}

export function startTimes() {
  tick();
  days();
  setInterval(tick, 1000);
}
