// The page of one position: its chart, and a note when something happened to it since the page was drawn.

import { Chart } from "./chart.js";
import { follow } from "./forming.js";
import { on } from "./shell.js";

const page = document.getElementById("position");
const chart = new Chart(document.getElementById("chart"));
const STILL = new Set(["management_action"]);
let pending = 0;

async function refresh(fit) {
  chart.draw(await fetch(page.dataset.chart).then((answer) => answer.json()), fit);
}

on("events", (events) => {
  const own = events.filter((event) => event.position === page.dataset.id);
  if (!own.length || pending) return;
  const busy = document.querySelector("details[open]") || document.querySelector("dialog[open]");
  pending = setTimeout(() => {
    pending = 0;
    // Figures are drawn by the desk: the page is read again, unless somebody is in the middle of a form.
    if (!busy && own.some((event) => !STILL.has(event.kind))) location.reload();
    else refresh(false).catch(() => {});
  }, 500);
});

refresh(true).then(() => follow(chart, page.dataset, () => refresh(false))).catch((error) => { document.getElementById("chart").textContent = `The chart could not be loaded: ${error.message}`; });
