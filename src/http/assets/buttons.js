// Buttons: each is a command line. One that asks for a reason opens its field first. While a command is under way its
// button is disabled; the answer stands below it.
import { post, say } from "./post.js";

const narrow = matchMedia("(max-width: 760px)");

export function startButtons() {
  const faults = document.getElementById("faults");
  // Beside the messages there is room for the demo's panel; above them there is not.
  const fold = () => faults && (faults.open = !narrow.matches);
  narrow.addEventListener("change", fold);
  fold();
  document.addEventListener("click", (event) => {
    if (faults && narrow.matches && !faults.contains(event.target)) faults.open = false;
  });
  document.addEventListener("click", (event) => {
    const target = event.target.closest("button");
    if (!target) return;
    if (target.dataset.ask) return ask(target);
    if ("close" in target.dataset) return close(target.closest("form"));
    if (target.dataset.say) return press(target, target.dataset.say, target.textContent);
    if (target.dataset.fault) return fault(target);
    if ("signOut" in target.dataset) return signOut(target);
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form.ask")) return;
    event.preventDefault();
    const input = form.querySelector("input");
    const command = `${form.dataset.say} ${input.value.trim()}`;
    press(form.querySelector("button[type=submit]"), command, form.dataset.label, () => close(form));
  });
  document.addEventListener("keydown", (event) => {
    const form = event.target.closest?.("form.ask");
    if (event.key === "Escape" && form) {
      event.preventDefault();
      event.stopPropagation();
      close(form);
    }
  });
}

function opener(form) {
  return document.querySelector(`[data-ask="${CSS.escape(form.id)}"]`);
}

function ask(button) {
  const form = document.getElementById(button.dataset.ask);
  form.hidden = !form.hidden;
  button.setAttribute("aria-expanded", String(!form.hidden));
  if (!form.hidden) form.querySelector("input").focus();
}

function close(form) {
  const button = opener(form);
  const inside = form.contains(document.activeElement);
  form.hidden = true;
  form.querySelector("input").value = "";
  button?.setAttribute("aria-expanded", "false");
  if (inside) button?.focus();
}

async function press(button, command, label, done) {
  if (button.disabled) return;
  const card = button.closest(".card");
  const row = button.closest("form.ask") ? opener(button.closest("form.ask"))?.closest(".row") : button.closest(".row");
  const focused = document.activeElement === button;
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  const answer = await say(command, threadOf(card), label.trim());
  button.disabled = false;
  button.removeAttribute("aria-busy");
  // A disabled button loses the focus; give it back unless the person went on.
  if (focused && document.activeElement === document.body) (button.isConnected ? button : restingPlace(card))?.focus({ preventScroll: true });
  tell(row, answer);
  if (answer.ok) done?.();
}

// Where the focus goes when the button that had it is gone: the plan, which says what became of it, else the message.
export function restingPlace(card) {
  return card?.querySelector(".plan") ?? card?.closest(".block, #incident, main");
}

function threadOf(card) {
  return card?.closest("[data-slot]")?.dataset.slot;
}

function tell(row, { ok, text }) {
  const line = row?.querySelector(":scope > .said");
  if (!line) return;
  line.textContent = (text ?? "").split("\n").slice(0, 6).join("\n");
  line.classList.toggle("refused", !ok);
  line.hidden = !text;
}

async function fault(button) {
  button.disabled = true;
  const answer = await post("/demo/faults", { fault: button.dataset.fault });
  button.disabled = false;
  const line = document.querySelector("#faults > .said");
  line.textContent = answer.ok ? answer.says : answer.text;
  line.classList.toggle("refused", !answer.ok);
  line.hidden = false;
  if (!answer.ok) return;
  button.querySelector(".fault-state").textContent = "broken";
  // On a phone the open panel would stand over the card that comes now.
  const moved = document.getElementById("moved");
  if (!narrow.matches || !moved) return;
  document.getElementById("faults").open = false;
  moved.textContent = answer.says;
  moved.hidden = false;
  setTimeout(() => (moved.hidden = true), 8000);
}

async function signOut(button) {
  button.disabled = true;
  await post("/sign-out");
  location.href = "/sign-in";
}
