// Graphs as plain values: what is kept of React Flow's nodes, ids, copies, and a history to go back and forth in. Knows no page.

const OWN = ["measured", "selected", "dragging", "resizing"]; // React Flow's, of this window only

export function kept(nodes, edges) {
  const bare = (row) => Object.fromEntries(Object.entries(row).filter(([key]) => !OWN.includes(key)));
  return { nodes: nodes.map(bare), edges: edges.map(bare) };
}

export function same(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}

export function freshId(nodes, type) {
  const used = new Set(nodes.map((node) => node.id));
  for (let number = 1; ; number += 1) if (!used.has(`${type}_${number}`)) return `${type}_${number}`;
}

export function newNode(nodes, type, position) {
  return { id: freshId(nodes, type.name), type: type.name, position, data: { label: type.label, settings: defaults(type.settings) } };
}

export function defaults(schema) {
  const found = {};
  for (const [name, property] of Object.entries(schema.properties ?? {})) if ("default" in property) found[name] = structuredClone(property.default);
  return found;
}

// Copies of nodes with new ids, a little aside, and the edges between them.
export function pasted(nodes, edges, copied) {
  const all = [...nodes];
  const ids = {};
  const added = copied.nodes.map((node) => {
    const copy = structuredClone(node);
    copy.id = freshId(all, String(node.type ?? "node"));
    copy.position = { x: node.position.x + 40, y: node.position.y + 40 };
    copy.selected = true;
    ids[node.id] = copy.id;
    all.push(copy);
    return copy;
  });
  const links = copied.edges.map((edge) => ({ ...structuredClone(edge), id: edgeId({ ...edge, source: ids[edge.source], target: ids[edge.target] }), source: ids[edge.source], target: ids[edge.target] }));
  return { nodes: [...nodes.map((node) => ({ ...node, selected: false })), ...added], edges: [...edges, ...links] };
}

export function edgeId({ source, sourceHandle, target, targetHandle }) {
  return `${source}.${sourceHandle ?? ""}-${target}.${targetHandle ?? ""}`;
}

export function leadsBack(edges, source, target) {
  const seen = new Set();
  const look = [target];
  while (look.length) {
    const node = look.pop();
    if (node === source) return true;
    if (seen.has(node)) continue;
    seen.add(node);
    edges.filter((edge) => edge.source === node).forEach((edge) => look.push(edge.target));
  }
  return false;
}

// A file of any React Flow app: {nodes, edges}, whatever else it holds. Throws when it is none.
export function read(text) {
  const found = JSON.parse(text);
  if (!Array.isArray(found?.nodes) || !Array.isArray(found.edges ?? [])) throw new Error("it holds no nodes and edges");
  const nodes = found.nodes.map((node, place) => ({ ...node, id: String(node.id ?? `node_${place + 1}`), type: String(node.type ?? "default"), position: { x: Number(node.position?.x) || 0, y: Number(node.position?.y) || 0 }, data: node.data && typeof node.data === "object" ? node.data : {} }));
  const edges = (found.edges ?? []).map((edge) => ({ ...edge, id: String(edge.id ?? edgeId(edge)) }));
  return { nodes, edges, viewport: found.viewport, name: found.name };
}

export class History {
  constructor(first) {
    this.states = [first];
    this.place = 0;
  }

  push(state) {
    if (same(state, this.states[this.place])) return;
    this.states = [...this.states.slice(Math.max(0, this.place - 99), this.place + 1), state];
    this.place = this.states.length - 1;
  }

  back() {
    if (this.place > 0) this.place -= 1;
    return this.states[this.place];
  }

  forth() {
    if (this.place < this.states.length - 1) this.place += 1;
    return this.states[this.place];
  }
}
