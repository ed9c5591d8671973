// Makes one element like another by changing only what differs, so that focus, caret, open details and half-written
// text survive an edit of the message around them.

// What people have touched is theirs: what is open stays open, what is under way stays disabled.
const kept = new Set(["open", "aria-expanded", "disabled"]);

export function morph(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) {
    from.replaceWith(to);
    return;
  }
  if (from.nodeType === Node.TEXT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  if (from.nodeType !== Node.ELEMENT_NODE || from.dataset?.key === "said") return;
  attributes(from, to);
  // The page's script writes these; the server's text would flicker for a moment.
  if (from.matches("time, [data-clock]") && from.getAttribute("datetime") === to.getAttribute("datetime") && from.dataset.clock === to.dataset.clock) return;
  children(from, to);
}

function attributes(from, to) {
  const theirs = (name) => kept.has(name) || (name === "hidden" && from.matches(".ask")) || (name === "class" && from.matches(".block"));
  for (const { name, value } of [...to.attributes]) {
    if (!theirs(name) && from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  for (const { name } of [...from.attributes]) {
    if (!theirs(name) && !to.hasAttribute(name) && name !== "title") from.removeAttribute(name);
  }
}

function children(from, to) {
  const keyed = new Map();
  for (const child of from.children) if (child.dataset?.key) keyed.set(child.dataset.key, child);
  const wantedKeys = new Set([...to.children].map((child) => child.dataset?.key).filter(Boolean));
  let at = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const key = wanted.dataset?.key;
    const same = key ? keyed.get(key) : undefined;
    if (same) {
      // Drop what stands before it rather than move it: a moved element loses the focus.
      while (at && at !== same && !wantedKeys.has(at.dataset?.key)) {
        const next = at.nextSibling;
        at.remove();
        at = next;
      }
      if (same !== at) from.insertBefore(same, at);
      else at = at.nextSibling;
      keyed.delete(key);
      morph(same, wanted);
    } else if (!key && at && at.nodeName === wanted.nodeName && !at.dataset?.key) {
      const next = at.nextSibling;
      morph(at, wanted);
      at = next;
    } else {
      from.insertBefore(wanted, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}
