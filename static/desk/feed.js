// The decision feed and the side panels. Everything shown may come from a model or a webhook: it is only ever text.

import { on } from "./shell.js";

const MEMORY = 2000;
const SHOWN = 300;
const FLASH_AT_MOST = 5;
const RENDER_EVERY_MS = 200;
const ANNOUNCE_EVERY_MS = 5000;

const $ = (id) => document.getElementById(id);
const names = JSON.parse($("trader-names").textContent);
const list = $("feed");
const scroll = $("feed-scroll");
const pill = $("pill");

const KINDS = {
  candle_revised: ["error", "revised", "warn"],
  feed_silent: ["error", "feed silent", "bad"],
  clock_skewed: ["error", "clock", "bad"],
  signal_created: ["signal", "signal", "info"],
  signal_status_changed: ["signal", "status", "quiet"],
  signal_analyzed: ["decision", "", ""],
  monitoring_started: ["signal", "monitoring", "quiet"],
  monitoring_decision: ["decision", "", ""],
  management_action: ["action", "", ""],
  no_decision: ["error", "no decision", "bad"],
  action_denied: ["error", "denied", "bad"],
  entry_denied: ["error", "denied", "bad"],
  order_changed: ["order", "order", "info"],
  position_opened: ["action", "opened", "good"],
  position_closed: ["action", "closed", "warn"],
  rule_applied: ["action", "rule", "warn"],
  trader_paused: ["error", "paused", "bad"],
  position_handled: ["action", "by hand", "warn"],
  position_unprotected: ["error", "unprotected", "bad"],
  position_drifted: ["error", "drift", "bad"],
  account_armed: ["switch", "account", "warn"],
  workflow_disabled: ["error", "disabled", "bad"],
  workflow_enabled: ["action", "enabled", "good"],
  switch_changed: ["action", "switch", "warn"],
  analyst_down: ["error", "analyst down", "bad"],
  analyst_up: ["action", "analyst up", "good"],
  budget_used_up: ["error", "budget", "bad"],
  queue_behind: ["error", "queue behind", "bad"],
  queue_caught_up: ["action", "queue", "good"],
  session_note: ["signal", "session", "info"],
  session_paused: ["error", "session paused", "bad"],
  notification_test: ["other", "test", "quiet"],
  flatten_progress: ["action", "flatten", "warn"],
};
const TONES = {
  enter: "good", enter_trade: "good", abandon: "bad", bad_setup: "bad", close: "bad", reduce: "bad",
  adjust_sl: "warn", adjust_tp: "warn", add: "good", continue: "quiet", wait: "quiet", hold: "quiet",
};

let rows = []; // newest first
let waiting = 0;
let filter = "all";
let needle = "";
let paused = false;
let hovering = false;
let dirty = false;
let flash = 0; // rows since the last drawing
let renderedAt = -Infinity;
let unannounced = 0;

function describe(event) {
  const [group, label, tone] = KINDS[event.kind] || ["other", event.kind, "quiet"];
  const data = event.data || {};
  const decision = data.decision || data.action || (event.kind === "signal_analyzed" ? data.outcome : "");
  return {
    seq: event.seq,
    at: event.at,
    group: event.level === "critical" ? "error" : group,
    label: label || String(decision).replaceAll("_", " "),
    tone: tone || TONES[decision] || (data.outcome === "ok" ? "quiet" : "bad"),
    symbol: data.symbol || data.scope || "",
    interval: data.interval || "",
    trader: names[event.trader] || "",
    text: event.text,
    confidence: data.confidence ? Number(data.confidence).toFixed(2) : "",
    schedule: event.schedule,
    signal: event.signal,
    position: event.position,
    session: data.session,
  };
}

function link(row) {
  if (row.session) return `/sessions/${row.session}/edit/`;
  if (row.schedule) return `/workflows/${row.schedule}/`;
  if (row.position) return `/positions/${row.position}/`;
  if (row.signal) return `/admin/monitoring/signal/${row.signal}/change/`;
  return "";
}

function matches(row) {
  if (filter !== "all" && row.group !== filter) return false;
  if (!needle) return true;
  return `${row.symbol} ${row.trader} ${row.label} ${row.text}`.toLowerCase().includes(needle);
}

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

function draw(row, fresh) {
  const item = element("li", fresh ? "row fresh" : "row");
  item.dataset.seq = row.seq;
  const time = element("time", "", new Date(row.at).toISOString().slice(11, 19));
  time.dateTime = new Date(row.at).toISOString();
  time.title = time.dateTime;
  const symbol = element(link(row) ? "a" : "span", "symbol");
  if (link(row)) symbol.href = link(row);
  symbol.append(element("b", "", row.symbol), ` ${row.interval}`);
  symbol.title = row.trader;
  const text = element("span", "text", row.text);
  text.title = row.text;
  item.append(time, element("span", `label tone-${row.tone}`, row.label), symbol, text, element("span", "confidence", row.confidence));
  return item;
}

function render() {
  dirty = false;
  renderedAt = performance.now();
  const flashes = flash <= FLASH_AT_MOST;
  flash = 0;
  const shown = rows.filter(matches).slice(0, SHOWN);
  const first = list.firstElementChild ? Number(list.firstElementChild.dataset.seq) : 0;
  const fresh = shown.filter((row) => row.seq > first);
  if (list.dataset.view === `${filter}|${needle}` && fresh.length < shown.length) {
    const fragment = document.createDocumentFragment();
    fresh.forEach((row) => fragment.append(draw(row, flashes)));
    list.prepend(fragment);
    while (list.children.length > SHOWN) list.lastElementChild.remove();
  } else {
    list.replaceChildren(...shown.map((row) => draw(row, false)));
    list.dataset.view = `${filter}|${needle}`;
  }
  $("feed-empty").hidden = shown.length > 0;
  waiting = 0;
  pill.hidden = true;
}

function holding() {
  return paused || hovering || scroll.scrollTop > 8 || document.hidden;
}

function schedule() {
  if (holding() && list.children.length) {
    pill.hidden = waiting === 0;
    pill.textContent = `${waiting} new · show`;
    return;
  }
  if (dirty) return;
  dirty = true;
  // The first of many is drawn at once, the others together: drawing each by itself keeps the page busy.
  setTimeout(() => requestAnimationFrame(render), Math.max(0, renderedAt + RENDER_EVERY_MS - performance.now()));
}

on("events", (events) => {
  const added = events.map(describe).reverse();
  rows = added.concat(rows).slice(0, MEMORY);
  const visible = added.filter(matches).length;
  waiting += visible;
  flash += visible;
  unannounced += visible;
  schedule();
});

on("state", (state) => {
  $("live").dataset.state = state;
  $("live").querySelector("b").textContent = state;
});

setInterval(() => {
  if (!unannounced) return;
  $("announce").textContent = `${unannounced} new events`;
  unannounced = 0;
}, ANNOUNCE_EVERY_MS);

function resume() {
  paused = false;
  scroll.scrollTop = 0;
  hovering = false;
  render();
}

// Rows must not move under somebody who walks through them, so this pauses the feed.
function step(by) {
  paused = true;
  const current = list.querySelector("[aria-current]");
  const next = current ? (by > 0 ? current.nextElementSibling : current.previousElementSibling) : list.firstElementChild;
  if (!next) return;
  current?.removeAttribute("aria-current");
  next.setAttribute("aria-current", "true");
  next.scrollIntoView({ block: "nearest" });
}

pill.addEventListener("click", resume);
scroll.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse") hovering = true; });
scroll.addEventListener("pointerleave", () => { hovering = false; schedule(); });
scroll.addEventListener("scroll", () => { if (scroll.scrollTop <= 8) schedule(); }, { passive: true });
document.addEventListener("visibilitychange", schedule);
$("feed-search").addEventListener("input", (event) => { needle = event.target.value.trim().toLowerCase(); render(); });
document.querySelectorAll("[data-filter]").forEach((button) => button.addEventListener("click", () => {
  filter = button.dataset.filter;
  document.querySelectorAll("[data-filter]").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
  render();
}));
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "/") { event.preventDefault(); $("feed-search").focus(); }
  if (event.key === "p") { paused = true; schedule(); }
  if (event.key === ".") resume();
  if (event.key === "j" || event.key === "k") step(event.key === "j" ? 1 : -1);
  if (event.key === "Enter") list.querySelector("[aria-current] a")?.click();
});

const money = (value) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
const price = (value) => value.toLocaleString("en-US", { maximumSignificantDigits: 7 });
const tone = (value) => (value > 0 ? "good" : value < 0 ? "bad" : "");

function put(id, text, className) {
  const node = $(id);
  if (node.textContent !== text) node.textContent = text;
  if (className !== undefined) node.className = className;
}

function cell(row, className, main, small) {
  const td = element("td", className);
  td.append(element("span", "", main));
  if (small) td.append(element("small", "", small));
  row.append(td);
}

// A trader's own switch, as strict as it stands; one that stops everything is on the banner.
function showSwitches(halts) {
  const states = Object.fromEntries(halts.map((halt) => [halt.scope, halt.state]));
  document.querySelectorAll("[data-trader]").forEach((item) => {
    const state = states[`trader:${item.dataset.trader}`];
    const shown = item.querySelector("em");
    shown.textContent = state ?? shown.dataset.state;
    shown.className = state ?? "";
    item.querySelectorAll("[data-switch]").forEach((button) => {
      button.hidden = button.dataset.switch === "resume" ? !state : state === "halted" || (state === "reducing" && button.dataset.switch === "reduce");
    });
  });
}

on("status", (status) => {
  put("c-open", money(status.open_pnl), tone(status.open_pnl));
  put("c-open-note", `${status.positions.length} positions`);
  put("c-closed", money(status.closed_pnl), tone(status.closed_pnl));
  put("c-workflows", String(status.workflows));
  put("c-decisions", status.decisions.toLocaleString("en-US"));
  put("c-lag", status.lag_ms === null ? "no close yet" : `close to decision ${(status.lag_ms / 1000).toFixed(2)} s`);
  put("n-positions", String(status.positions.length));
  $("positions-empty").hidden = status.positions.length > 0;
  $("positions").replaceChildren(...status.positions.map((position) => {
    const row = document.createElement("tr");
    const name = element("td");
    const anchor = element("a", "", position.symbol);
    anchor.href = `/positions/${position.id}/`;
    name.append(anchor, element("small", "", `${position.side} · ${position.trader}`));
    row.append(name);
    cell(row, "num", price(position.mark), price(position.entry));
    cell(row, "num", position.stop_pct === null ? "none" : `${position.stop_pct.toFixed(2)}%`);
    cell(row, `num ${tone(position.pnl)}`, money(position.pnl), `${money(position.pnl_pct)}%`);
    return row;
  }));
  showSwitches(status.halts);
  put("n-attention", String(status.attention.length));
  $("attention-empty").hidden = status.attention.length > 0;
  $("attention").replaceChildren(...status.attention.map((entry) => {
    const item = element("li");
    const anchor = element("a", "", entry.title);
    anchor.href = entry.url;
    item.append(element("i", `dot ${entry.off ? "dot-off" : "dot-paused"}`), anchor, element("small", "", entry.text), element("em", "", entry.tail));
    return item;
  }));
});
