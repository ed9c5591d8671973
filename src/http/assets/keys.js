// Keys for the whole page; none of them works while something is being written.
export function startKeys() {
  const help = document.getElementById("help");
  const open = () => !help.open && help.showModal();
  document.querySelector("[data-open-help]")?.addEventListener("click", open);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    const does = { "/": command, "?": open, j: () => step(1), k: () => step(-1) }[event.key];
    if (!does) return;
    event.preventDefault();
    does();
  });
}

function command() {
  document.getElementById("line")?.focus();
}

function step(by) {
  const blocks = [...document.querySelectorAll("#messages > .block")];
  const at = blocks.indexOf(document.activeElement.closest?.(".block"));
  const next = at < 0 ? (by < 0 ? blocks.at(-1) : blocks[0]) : blocks[at + by];
  next?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: "nearest" });
}
