// The library of sessions: filtered and searched as somebody types, in pages.

import { api } from "./api.js";

const PAGE = 50;
const $ = (id) => document.getElementById(id);
const body = document.querySelector("#sessions tbody");
const mayChange = $("sessions").dataset.mayChange === "yes";
const TONES = { active: "good", paused: "warn" };
let shown = 0;
let asked = 0;

function cell(row, text, className = "") {
  const td = document.createElement("td");
  td.className = className;
  td.textContent = text;
  row.append(td);
  return td;
}

function when(text) {
  return text ? `${text.slice(5, 10)} ${text.slice(11, 16)}` : "–";
}

function line(session) {
  const row = document.createElement("tr");
  const star = document.createElement("button");
  star.type = "button";
  star.className = "star";
  star.disabled = !mayChange;
  const paint = () => { star.textContent = session.is_favorite ? "★" : "☆"; star.setAttribute("aria-label", session.is_favorite ? "No favourite any more" : "Favourite"); };
  paint();
  star.addEventListener("click", async () => {
    await api("PUT", `/sessions/${session.id}/favorite?favorite=${!session.is_favorite}`);
    session.is_favorite = !session.is_favorite;
    paint();
  });
  cell(row, "").append(star);
  const name = cell(row, "");
  const link = document.createElement("a");
  link.href = `/sessions/${session.id}/edit/`;
  link.textContent = session.name;
  const small = document.createElement("small");
  small.textContent = [`v${session.version}`, session.folder, ...session.tags].filter(Boolean).join(" · ");
  name.append(link, small);
  const label = document.createElement("span");
  label.className = `label tone-${TONES[session.status] ?? "quiet"}`;
  label.textContent = session.status;
  label.title = session.status_reason;
  cell(row, "").append(label);
  cell(row, session.trigger_interval && session.status === "active" ? `${session.trigger_interval} ${session.trigger_symbols.slice(0, 2).join(", ")}${session.trigger_symbols.length > 2 ? "…" : ""}` : "–");
  cell(row, String(session.runs), "num");
  cell(row, String(session.failed), session.failed ? "num bad" : "num");
  cell(row, session.mean_ms === null ? "–" : `${Math.round(session.mean_ms)} ms`, "num");
  cell(row, when(session.last_executed_at), "num");
  cell(row, when(session.updated_at), "num");
  return row;
}

async function load(more) {
  const turn = ++asked;
  const query = new URLSearchParams({ text: $("text").value, order: $("order").value, limit: PAGE, offset: more ? shown : 0 });
  for (const [id, name] of [["wanted-status", "status"], ["folder", "folder"], ["tag", "tag"]]) if ($(id).value) query.set(name, $(id).value);
  if ($("favorite").checked) query.set("favorite", "true");
  const found = await api("GET", `/sessions?${query}`);
  if (turn !== asked) return; // somebody has typed on
  const lines = found.items.map(line);
  if (more) body.append(...lines); else body.replaceChildren(...lines);
  shown = body.children.length;
  $("total").textContent = String(found.total);
  $("none").hidden = found.total > 0;
  $("more").hidden = shown >= found.total;
}

const fail = (error) => { $("none").hidden = false; $("none").textContent = error.message; };
const again = () => load(false).catch(fail);
$("text").addEventListener("input", again);
for (const id of ["wanted-status", "folder", "tag", "order", "favorite"]) $(id).addEventListener("change", again);
$("more").addEventListener("click", () => load(true).catch(fail));
again();
