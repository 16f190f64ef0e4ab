// Keys of every page. Single letters never fire while somebody types.

import { open } from "./switch.js";

const PLACES = { d: "/", w: "/admin/monitoring/workflowschedule/", s: "/admin/monitoring/signal/", p: "/admin/positions/position/", t: "/admin/monitoring/trader/", e: "/sessions/", k: "/switches/", a: "/audit/", x: "/stats/" };
let going = 0;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select, [contenteditable]")) return;
  if (document.querySelector("dialog[open]")) return;
  if (going && Date.now() - going < 1500 && PLACES[event.key]) {
    going = 0;
    location.assign(PLACES[event.key]);
    return;
  }
  going = event.key === "g" ? Date.now() : 0;
  if (event.key === "!") { event.preventDefault(); open(); }
  if (event.key === "?") { event.preventDefault(); document.getElementById("keys").showModal(); }
});
