// Uses the one-time link up once a person really looks at the page; link previews and preloading don't.
const redeem = () => {
  if (document.prerendering || document.visibilityState !== "visible") return;
  document.removeEventListener("visibilitychange", redeem);
  document.getElementById("redeem").requestSubmit();
};
document.addEventListener("visibilitychange", redeem);
document.addEventListener("prerenderingchange", redeem);
redeem();
