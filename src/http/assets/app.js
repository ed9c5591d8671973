// Starts the page's parts. Each file does one thing; without any of them the page still reads.
import { startTimes } from "./times.js";
import { startLive } from "./live.js";
import { startButtons } from "./buttons.js";
import { startCommand } from "./command.js";
import { startKeys } from "./keys.js";

startTimes();
startButtons();
startKeys();
if (document.getElementById("command")) startCommand();
if (document.body.dataset.after !== undefined) startLive();
