// Sends what a person does, with the token that only this page knows. Never throws: an error is an answer too.
const token = document.querySelector("meta[name=mayday-csrf]")?.content ?? "";

export async function post(path, body) {
  let response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json", "x-mayday-csrf": token },
      body: JSON.stringify(body ?? {}),
    });
  } catch {
    return { ok: false, text: "Mayday did not answer. Nothing is known about what became of it; look at the card." };
  }
  const answer = await response.json().catch(() => ({}));
  if (response.status === 401) return { ok: false, text: "You are signed out. Load the page again to sign in." };
  if (!response.ok) return { ok: false, text: answer.error ? `${answer.error}: ${answer.fix}` : `Mayday answered ${response.status}.` };
  return { ok: true, ...answer };
}

export function say(text, thread, label) {
  return post("/say", { text, channel: document.body.dataset.channel ?? channelOf(), thread, label });
}

// On an incident's own page commands still belong to the channel its card stands in.
function channelOf() {
  return document.querySelector("[data-channel-of]")?.dataset.channelOf ?? "";
}
