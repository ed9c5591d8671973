// Buttons: each is a command line. One that asks for a reason opens its field first. While a command is under way its
// button is disabled; the answer stands below it.
import { post, say } from "./post.js";

export function startButtons() {
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
    const text = input.value.trim();
    const command = text ? `${form.dataset.say} ${text}` : form.dataset.say;
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
  if (focused && button.isConnected && document.activeElement === document.body) button.focus();
  tell(row, answer);
  if (answer.ok) done?.();
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
  if (answer.ok) button.querySelector(".fault-state").textContent = "broken";
}

async function signOut(button) {
  button.disabled = true;
  await post("/sign-out");
  location.href = "/sign-in";
}
