// What a run did: the list of runs, the rows that a node gave, and the versions of a session with what changed.

import { api } from "./api.js";

const { useState, useEffect } = React;
const html = htm.bind(React.createElement);
const LAST = ["close", "open", "high", "low", "volume", "price", "analysis"];
const when = (text) => `${text.slice(5, 10)} ${text.slice(11, 19)}`;

export function Runs({ runs, chosen, onChoose, onCancel }) {
  if (!runs.length) return html`<p class="empty">It has not run yet.</p>`;
  return html`<ul class="lines">${runs.map((run) => html`<li key=${run.id}>
    <button type="button" aria-current=${run.id === chosen ? "true" : undefined} onClick=${() => onChoose(run.id === chosen ? null : run.id)}>
      <time>${when(run.started_at)}</time><span class=${`label tone-${{ completed: "good", failed: "bad", running: "info" }[run.status] ?? "quiet"}`}>${run.status}</span>
      <small>v${run.version}${run.is_trial ? " trial" : ""}${run.duration_ms === null ? "" : ` · ${Math.round(run.duration_ms)} ms`}${run.missing.length ? ` · missing ${run.missing.join(", ")}` : ""}</small>
    </button>
    ${run.status === "running" ? html`<button type="button" class="link" onClick=${() => onCancel(run.id)}>Cancel</button>` : null}
    ${run.id === chosen && run.error_message ? html`<p class="error">${run.error_message}</p>` : null}
  </li>`)}</ul>`;
}

export function Output({ run, node }) {
  const output = run.outputs[node];
  const did = run.node_runs[node];
  if (!did) return html`<p class="empty">It did not run.</p>`;
  return html`<div class="output">${did.error ? html`<p class="error">${did.error}</p>` : null}
    ${Object.entries(output ?? {}).map(([port, found]) => html`<section key=${port}><h3>${port} <span class="count">${found.count}</span></h3><${Table} items=${found.items} />
      ${found.items.length < found.count ? html`<p class="hint">the first ${found.items.length}</p>` : null}</section>`)}</div>`;
}

function Table({ items }) {
  if (!items.length) return html`<p class="empty">Nothing.</p>`;
  const rows = items.map((item) => ("values" in item ? { symbol: item.symbol, ...item.values, ...item.texts } : item));
  const found = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const columns = [...found.filter((name) => !LAST.includes(name)), ...LAST.filter((name) => found.includes(name))]; // what was computed is what one looks for
  return html`<div class="table-scroll"><table><thead><tr>${columns.map((name) => html`<th key=${name}>${name}</th>`)}</tr></thead>
    <tbody>${rows.map((row, place) => html`<tr key=${place}>${columns.map((name) => html`<td key=${name} class=${typeof row[name] === "number" ? "num" : ""}>${cell(row[name])}</td>`)}</tr>`)}</tbody></table></div>`;
}

function cell(value) {
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
  return value === undefined || value === null ? "" : String(value);
}

export function Versions({ root, current, disabled, onRestore }) {
  const [versions, setVersions] = useState(null);
  const [chosen, setChosen] = useState(null);
  const [changes, setChanges] = useState([]);
  useEffect(() => { api("GET", `/sessions/${root}/versions?limit=100`).then(setVersions); setChosen(null); }, [root, current]);
  const choose = async (version) => {
    setChosen(version);
    setChanges(await api("GET", `/sessions/${root}/versions/${version}/difference`));
  };
  if (!versions) return html`<p class="empty">…</p>`;
  return html`<ul class="lines">${versions.map((found) => html`<li key=${found.version}>
    <button type="button" aria-current=${found.version === chosen ? "true" : undefined} onClick=${() => choose(found.version)}>
      <b>v${found.version}</b><time>${when(found.created_at)}</time><small>${found.saved_by}${found.note ? ` · ${found.note}` : ""}</small>
    </button>
    ${found.version === chosen && found.version !== current ? html`<div class="changes"><p class="hint">from v${chosen} to v${current}:</p>
      ${changes.length ? html`<ul>${changes.map((change) => html`<li key=${change.what + change.id}><span class=${`label tone-${{ added: "good", removed: "bad", changed: "info" }[change.kind] ?? "quiet"}`}>${change.kind}</span> ${change.what} ${change.label}
        ${Object.entries(change.fields).map(([name, [before, after]]) => html`<code key=${name}>${name}: ${JSON.stringify(before) ?? "–"} → ${JSON.stringify(after) ?? "–"}</code>`)}</li>`)}</ul>` : html`<p class="hint">Nothing.</p>`}
      <button type="button" class="button" disabled=${disabled} onClick=${() => onRestore(found.version)}>Restore v${found.version}</button></div>` : null}
  </li>`)}</ul>`;
}
