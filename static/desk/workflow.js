// The page of one workflow: chart, closes, and the chosen decision, fetched again when the workflow does something.

import { Chart } from "./chart.js";
import { follow } from "./forming.js";
import { on } from "./shell.js";

const page = document.getElementById("workflow");
const closes = document.getElementById("closes");
const evidence = document.getElementById("evidence");
let chosen = new URLSearchParams(location.search).get("close");
let newest = closes.querySelector("[data-run]")?.dataset.run;
let pending = 0;

// What arrives is a template rendered by the desk, every value escaped there; the policy of the page runs no script in it.
async function fragment(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`refused (${answer.status})`);
  return new DOMParser().parseFromString(await answer.text(), "text/html").body;
}

function mark() {
  closes.querySelectorAll("[data-run]").forEach((line) => {
    if (line.dataset.run === chosen) line.setAttribute("aria-current", "true");
    else line.removeAttribute("aria-current");
  });
}

async function choose(run, remember = true) {
  const line = closes.querySelector(`[data-run="${run}"]`);
  if (!line) return;
  chosen = run;
  mark();
  evidence.replaceChildren(...(await fragment(line.dataset.close)).childNodes);
  if (remember) history.replaceState(null, "", `?close=${run}`);
}

const chart = new Chart(document.getElementById("chart"), { onMarker: choose });

async function refresh(fit) {
  const [lines, data] = await Promise.all([fragment(page.dataset.timeline), fetch(page.dataset.chart).then((answer) => answer.json())]);
  const followed = chosen === null || chosen === newest;
  closes.replaceChildren(...lines.childNodes);
  const first = closes.querySelector("[data-run]")?.dataset.run;
  chart.draw(data, fit);
  if (followed && first) await choose(first, false); // also when it is the same close, which has its outcome by now
  newest = first;
  mark();
}

closes.addEventListener("click", (event) => {
  const line = event.target.closest("[data-run]");
  if (!line || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  choose(line.dataset.run);
});

on("events", (events) => {
  if (!events.some((event) => event.schedule === page.dataset.id) || pending) return;
  pending = setTimeout(() => { pending = 0; refresh(false).catch(() => {}); }, 300);
});

refresh(true).then(() => follow(chart, page.dataset, () => refresh(false))).catch((error) => { document.getElementById("chart").textContent = `The chart could not be loaded: ${error.message}`; });
