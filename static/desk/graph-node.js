// A node on the canvas: its name, the settings that matter, its ports, what is wrong with it, and what it did in the chosen run.

const { Handle, Position } = ReactFlow;
const { createContext, useContext } = React;
const html = htm.bind(React.createElement);

export const Overlay = createContext({ types: {}, problems: {}, runs: {}, outputs: {} });

export function GraphNode({ id, type, data, selected }) {
  const { types, problems, runs, outputs, traders } = useContext(Overlay);
  const kind = types[type];
  const wrong = problems[id] ?? [];
  const run = runs[id];
  const state = run ? `run-${run.status}` : wrong.length ? "wrong" : "";
  return html`<div class=${`node group-${kind?.group ?? "unknown"} ${state} ${selected ? "chosen" : ""}`} title=${wrong.map((problem) => `${problem.field ? `${problem.field}: ` : ""}${problem.text}`).join("\n")}>
    <${Ports} ports=${kind ? kind.inputs : [{ name: null }]} type="target" position=${Position.Left} />
    <header><i></i><b>${String(data?.label ?? type)}</b>${wrong.length ? html`<span class="mark" aria-label=${`${wrong.length} problems`}>!</span>` : null}</header>
    ${kind ? html`<dl>${lines(kind, data?.settings, traders).map(([name, text]) => html`<div key=${name}><dt>${name}</dt><dd>${text}</dd></div>`)}</dl>` : html`<p>unknown type ${type}</p>`}
    ${run ? html`<footer class=${`did-${run.status}`}>${run.status}${run.ms !== undefined ? ` · ${run.ms} ms` : ""}${counts(outputs[id])}</footer>` : null}
    <${Ports} ports=${kind ? kind.outputs : [{ name: null }]} type="source" position=${Position.Right} />
  </div>`;
}

function Ports({ ports, type, position }) {
  return ports.map((port, place) => html`<${Handle} key=${port.name ?? type} id=${port.name ?? undefined} type=${type} position=${position} className=${`port port-${place + 1}-of-${ports.length}`} title=${port.name ?? ""}>
    ${ports.length > 1 ? html`<span class="port-name">${port.name}</span>` : null}
  </${Handle}>`);
}

function lines(kind, settings, traders) {
  const named = Object.entries(kind.settings.properties ?? {}).map(([name, property]) => [name, settings?.[name], property]);
  const said = named.filter(([, value]) => value !== null && value !== undefined && value !== "").slice(0, 3);
  return said.map(([name, value, property]) => [name, property.format === "trader" ? traders.find((one) => one.id === value)?.name ?? "none of yours" : shown(value)]);
}

function shown(value) {
  if (Array.isArray(value)) {
    if (value.every((one) => typeof one !== "object")) return value.join(", ");
    return value.map((one) => (one.field ? `${one.field} ${one.operator} ${one.value}` : one.name ?? "…")).join(", ");
  }
  return String(value);
}

function counts(output) {
  if (!output) return "";
  return Object.entries(output).map(([port, found]) => ` · ${found.count} ${port}`).join("");
}
