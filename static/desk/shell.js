// The status strip and the banner of every page. Pages with a feed register what they do with events.

import "./keys.js";
import { follow } from "./socket.js";
import { open } from "./switch.js";

const $ = (id) => document.getElementById(id);
const strip = $("strip");
const listeners = { events: [], status: [], state: [] };
let status = null;
let receivedAt = 0;

export function on(kind, listener) {
  listeners[kind].push(listener);
  if (kind === "status" && status) listener(status);
}

const STRICTNESS = { running: 0, reducing: 1, halted: 2 };

function appNow() {
  return status.now + (Date.now() - receivedAt) * status.speed;
}

function countdown(lengthMs) {
  const left = Math.max(0, Math.ceil((lengthMs - (appNow() % lengthMs)) / 1000));
  const minutes = Math.floor(left / 60);
  return `${minutes}:${String(left % 60).padStart(2, "0")}`;
}

function set(id, text) {
  const node = $(id);
  if (node && node.textContent !== text) node.textContent = text;
}

function tick() {
  if (!status) return;
  const stale = Date.now() - receivedAt > 5000;
  strip.classList.toggle("stale", stale);
  $("stale").hidden = !stale;
  if (stale) return;
  set("s-1m", countdown(60000));
  set("s-5m", countdown(300000));
  set("s-1h", countdown(3600000));
  set("s-clock", new Date(appNow()).toISOString().slice(11, 19));
}

function show(next) {
  status = next;
  receivedAt = Date.now();
  const { live, age, feed } = status.listener;
  $("s-listener").className = live && feed === "live" ? "good" : "bad";
  set("s-listener", live ? feed : age === null ? "never seen" : `gone for ${Math.round(age)} s`);
  set("s-queue", String(status.queue));
  set("s-late", String(status.late));
  const budget = status.budget === null ? "" : ` of $${status.budget.toFixed(2)}`;
  set("s-cost", `$${status.cost.toFixed(2)}${budget}`);
  $("s-cost").title = `$${status.projected.toFixed(2)} by the end of the day, if it goes on like this`;
  showHalts(status.halts);
  tick();
  listeners.status.forEach((listener) => listener(status));
}

let shownHalts = "";

function showHalts(halts) {
  if (JSON.stringify(halts) === shownHalts) return; // the buttons in it keep their focus
  shownHalts = JSON.stringify(halts);
  const all = halts.find((halt) => halt.scope === "all");
  const state = all ? all.state : "running";
  const pill = $("state");
  pill.className = `state state-${state}`;
  pill.querySelector("b").textContent = state.toUpperCase();
  const banner = $("banner");
  banner.hidden = halts.length === 0;
  const strictest = Math.max(0, ...halts.map((halt) => STRICTNESS[halt.state]));
  banner.className = `banner banner-${strictest === 2 ? "halted" : "reducing"}`;
  banner.replaceChildren(...halts.map((halt) => {
    const line = document.createElement("p");
    const strong = document.createElement("strong");
    strong.textContent = halt.scope === "all" ? `Trading is ${halt.state}.` : `${halt.scope} is ${halt.state}.`;
    const at = new Date(halt.at).toISOString().slice(11, 19);
    const resume = document.createElement("button");
    resume.type = "button";
    resume.className = "link";
    resume.textContent = "Resume…";
    resume.addEventListener("click", () => open({ scope: halt.scope, what: "resume" }));
    line.append(strong, ` “${halt.reason}” — ${halt.by}, ${at} UTC `, resume);
    return line;
  }));
  const bare = document.title.replace(/^⛔ /, "");
  document.title = state === "halted" ? `⛔ ${bare}` : bare;
}

if (strip) {
  setInterval(tick, 250);
  // Every module of the page has run by then, so nobody misses the first events.
  addEventListener("DOMContentLoaded", () => follow({
    after: Number(strip.dataset.after),
    onEvents: (events) => listeners.events.forEach((listener) => listener(events)),
    onStatus: show,
    onState: (state) => listeners.state.forEach((listener) => listener(state)),
  }));
}
