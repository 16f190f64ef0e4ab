// The editor of one session: a canvas between a palette and a panel. The graph is saved as a new version; nothing of another's is overwritten.

import { api } from "./api.js";
import { History, edgeId, kept, leadsBack, newNode, pasted, read, same } from "./graph.js";
import { GraphNode, Overlay } from "./graph-node.js";
import { Output, Runs, Versions } from "./run-panel.js";
import { SettingsForm } from "./settings-form.js";
import { on } from "./shell.js";

const { useState, useEffect, useRef, useMemo, useCallback } = React;
const { Background, Controls, MiniMap, ReactFlowProvider, addEdge, applyEdgeChanges, applyNodeChanges, useReactFlow } = ReactFlow;
const Flow = ReactFlow.ReactFlow;
const html = htm.bind(React.createElement);
const page = document.getElementById("editor");
const { root } = page.dataset;
const mayChange = page.dataset.mayChange === "yes";
const traders = JSON.parse(document.getElementById("traders").textContent);
const POLL_MS = 500;
const GROUPS = ["start", "data", "logic", "ask", "act", "note"];

function Editor({ first, types }) {
  const [session, setSession] = useState(first);
  const [nodes, setNodes] = useState(first.nodes);
  const [edges, setEdges] = useState(first.edges);
  const [problems, setProblems] = useState(first.problems);
  const [said, setSaid] = useState(null);
  const [tab, setTab] = useState("settings");
  const [runs, setRuns] = useState([]);
  const [run, setRun] = useState(null);
  const saved = useRef(kept(first.nodes, first.edges));
  const history = useRef(new History(kept(first.nodes, first.edges)));
  const { screenToFlowPosition, getViewport, fitView } = useReactFlow();
  const graph = useMemo(() => kept(nodes, edges), [nodes, edges]);
  const isDirty = !same(graph, saved.current);
  const locked = !mayChange || !session.is_own;
  const chosen = nodes.filter((node) => node.selected);
  const node = chosen.length === 1 ? chosen[0] : null;

  const fail = (error) => setSaid({ tone: "error", text: error.message });
  const commit = useCallback((nextNodes, nextEdges) => {
    setNodes(nextNodes);
    setEdges(nextEdges);
    history.current.push(kept(nextNodes, nextEdges));
  }, []);
  // Sizes that are known keep the canvas from flickering while it measures again.
  const show = (state) => {
    setNodes((now) => state.nodes.map((one) => ({ ...one, measured: now.find((other) => other.id === one.id)?.measured })));
    setEdges(state.edges);
  };
  const take = (found) => {
    setSession(found);
    setProblems(found.problems);
    saved.current = kept(found.nodes, found.edges);
    show(found);
    history.current.push(kept(found.nodes, found.edges));
  };

  // What is wrong is asked once nothing has changed for a moment.
  useEffect(() => {
    const timer = setTimeout(() => api("POST", "/sessions/check", graph).then((found) => setProblems(found.problems)).catch(fail), 250);
    return () => clearTimeout(timer);
  }, [JSON.stringify(graph)]);

  useEffect(() => {
    const ask = (event) => { if (isDirty) event.preventDefault(); };
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  }, [isDirty]);

  const listRuns = useCallback(() => api("GET", `/executions?session=${root}&limit=30`).then(setRuns).catch(fail), []);
  useEffect(() => { listRuns(); }, []);
  useEffect(() => on("events", (events) => { if (events.some((event) => event.kind.startsWith("session_") || event.kind === "signal_created")) listRuns(); }), []);

  const follow = useCallback(async (id) => {
    if (id === null) return setRun(null);
    for (;;) {
      const found = await api("GET", `/executions/${id}`);
      setRun(found);
      if (found.status !== "running") break;
      await new Promise((resolve) => { setTimeout(resolve, POLL_MS); });
    }
    return listRuns();
  }, []);

  const save = async () => {
    if (locked) return null;
    try {
      const made = await api("POST", `/sessions/${root}/versions`, { version: session.version, ...graph, viewport: getViewport() });
      saved.current = graph;
      setSession(made);
      setProblems(made.problems);
      setSaid({ tone: "good", text: `saved as v${made.version}` });
      return made;
    } catch (error) {
      setSaid({ tone: "error", text: error.message, isConflict: error.status === 409 });
      return null;
    }
  };

  const start = async (isTrial) => {
    if (isDirty && !(await save())) return;
    try {
      const made = await api("POST", `/sessions/${root}/executions`, { is_trial: isTrial });
      setSaid(null);
      setTab(node ? "output" : "runs");
      await follow(made.id);
    } catch (error) {
      if (error.problems?.length) setProblems(error.problems);
      fail(error);
    }
  };

  const setStatus = async (status, reason = "") => {
    if (isDirty && !(await save())) return;
    try {
      setSession(await api("PUT", `/sessions/${root}/status`, { status, reason }));
      setSaid({ tone: "good", text: status === "active" ? "it runs at every close from now on" : `it is ${status}` });
    } catch (error) {
      if (error.problems?.length) setProblems(error.problems);
      fail(error);
    }
  };

  const reload = async () => { take(await api("GET", `/sessions/${root}`)); setSaid(null); };
  const restore = async (version) => {
    try {
      take(await api("POST", `/sessions/${root}/versions/${version}/restore`, { base: session.version }));
      setSaid({ tone: "good", text: `v${version} is back` });
    } catch (error) { fail(error); }
  };
  const rename = async (name) => {
    try { setSession({ ...session, ...(await api("PATCH", `/sessions/${root}`, { version: session.version, name })) }); } catch (error) { fail(error); }
  };

  const add = (type, position) => {
    if (locked) return;
    const place = position ?? screenToFlowPosition({ x: innerWidth / 2 - 120 + 24 * (nodes.length % 8), y: innerHeight / 2 - 80 + 24 * (nodes.length % 8) });
    const made = newNode(nodes, type, place);
    commit([...nodes.map((one) => ({ ...one, selected: false })), { ...made, selected: true }], edges);
    setTab("settings");
  };
  const change = (data) => commit(nodes.map((one) => (one.id === node.id ? { ...one, data: { ...one.data, ...data } } : one)), edges);
  const connect = (link) => {
    if (locked) return;
    if (leadsBack(edges, link.source, link.target)) return setSaid({ tone: "error", text: "that would make a circle" });
    return commit(nodes, addEdge({ ...link, id: edgeId(link) }, edges));
  };

  const exported = () => {
    const text = JSON.stringify({ name: session.name, ...graph, viewport: getViewport() }, null, 1);
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob([text], { type: "application/json" })), download: `${session.name}.json` });
    link.click();
    URL.revokeObjectURL(link.href);
  };
  const imported = async (file) => {
    try {
      const found = read(await file.text());
      commit(found.nodes, found.edges);
      setSaid({ tone: "good", text: `${found.nodes.length} nodes of ${file.name}; save to keep them` });
      setTimeout(() => fitView({ maxZoom: 1, padding: 0.15 }), 50);
    } catch (error) { setSaid({ tone: "error", text: `${file.name}: ${error.message}` }); }
  };

  useKeys({
    save,
    undo: () => show(history.current.back()),
    redo: () => show(history.current.forth()),
    copy: () => {
      const ids = new Set(chosen.map((one) => one.id));
      if (ids.size) sessionStorage.setItem("copied-nodes", JSON.stringify(kept(chosen, edges.filter((edge) => ids.has(edge.source) && ids.has(edge.target)))));
    },
    paste: () => {
      const copied = sessionStorage.getItem("copied-nodes");
      if (!copied || locked) return;
      const next = pasted(nodes, edges, JSON.parse(copied));
      commit(next.nodes, next.edges);
    },
  });

  const nodeTypes = useMemo(() => Object.fromEntries([...Object.keys(types), ...nodes.map((one) => one.type)].map((name) => [name, GraphNode])), [nodes.map((one) => one.type).join()]);
  const overlay = { types, traders, problems: Object.groupBy(problems.filter((one) => one.node), (one) => one.node), runs: run?.node_runs ?? {}, outputs: run?.outputs ?? {} };
  const general = problems.filter((one) => !one.node);

  return html`<${Overlay.Provider} value=${overlay}>
    <header class="title editor-bar">
      <a class="button" href="/sessions/">Sessions</a><${Name} value=${session.name} disabled=${locked} onChange=${rename} />
      <span class="count" id="version">v${session.version}</span><span class=${`label tone-${{ active: "good", paused: "warn" }[session.status] ?? "quiet"}`} id="status">${session.status}</span>
      <span class="muted" id="dirty">${isDirty ? "unsaved changes" : ""}</span>
      ${session.status === "paused" && session.status_reason ? html`<span class="muted">${session.status_reason}</span>` : null}
      <span class="fill"></span>
      <button type="button" class="button" onClick=${() => start(true)} disabled=${locked}>Run once</button>
      ${session.status === "active" ? html`<button type="button" class="button" onClick=${() => setStatus("paused", "by hand")} disabled=${locked}>Pause</button>` : html`<button type="button" class="button" onClick=${() => setStatus("active")} disabled=${locked}>Activate</button>`}
      <details class="act"><summary class="button">More</summary><div class="popover menu">
        <button type="button" onClick=${() => start(false)} disabled=${locked}>Run once, and act</button>
        <button type="button" onClick=${exported}>Export JSON</button>
        <label>Import JSON<input type="file" accept="application/json,.json" class="visually-hidden" disabled=${locked} onChange=${(event) => event.target.files[0] && imported(event.target.files[0])} /></label>
      </div></details>
      <button type="button" class="button primary" onClick=${save} disabled=${locked || !isDirty}>Save <kbd>Ctrl S</kbd></button>
    </header>
    ${said ? html`<p class=${`note ${said.tone === "error" ? "note-error" : ""}`} role="status" id="said">${said.text} ${said.isConflict ? html`<button type="button" class="link" onClick=${reload}>Load theirs</button>` : null} <button type="button" class="link" onClick=${() => setSaid(null)}>Dismiss</button></p>` : null}
    ${general.length ? html`<p class="note note-quiet" id="problems">${general.map((one) => one.text).join("; ")}</p>` : null}
    <div class="workbench">
      <aside class="palette" aria-label="Types of nodes">${GROUPS.map((group) => [group, Object.values(types).filter((type) => type.group === group)]).map(([group, members]) => html`<section key=${group} class=${`group-${group}`}><h3>${group}</h3>${members.map((type) => html`<button type="button" key=${type.name} title=${type.summary} draggable="true" disabled=${locked} onClick=${() => add(type)} onDragStart=${(event) => event.dataTransfer.setData("application/node-type", type.name)}><i></i>${type.label}</button>`)}</section>`)}</aside>
      <div class="canvas" onDragOver=${(event) => event.preventDefault()} onDrop=${(event) => { const type = types[event.dataTransfer.getData("application/node-type")]; if (type) add(type, screenToFlowPosition({ x: event.clientX, y: event.clientY })); }}>
        <${Flow} nodes=${nodes} edges=${edges} nodeTypes=${nodeTypes} fitView=${first.nodes.length > 0} fitViewOptions=${{ maxZoom: 1, padding: 0.15 }} minZoom=${0.2} colorMode=${colour()} nodesDraggable=${!locked} nodesConnectable=${!locked} deleteKeyCode=${locked ? null : ["Delete", "Backspace"]}
          onNodesChange=${(changes) => setNodes((now) => applyNodeChanges(changes, now))} onEdgesChange=${(changes) => setEdges((now) => applyEdgeChanges(changes, now))}
          onNodeDragStop=${() => history.current.push(kept(nodes, edges))} onDelete=${({ nodes: gone, edges: cut }) => { const ids = new Set(gone.map((one) => one.id)); const cuts = new Set(cut.map((one) => one.id)); commit(nodes.filter((one) => !ids.has(one.id)), edges.filter((one) => !cuts.has(one.id))); }}
          onConnect=${connect} onNodeClick=${() => setTab((now) => (run && now !== "settings" ? "output" : "settings"))}>
          <${Background} /><${Controls} showInteractive=${false} /><${MiniMap} pannable=${true} />
        </${Flow}>
        ${nodes.length ? null : html`<p class="hint-on-canvas">Begin with a candle close from the left.</p>`}
      </div>
      <aside class="panel inspector">
        <nav class="tabs" role="tablist">${["settings", "output", "runs", "versions"].map((name) => html`<button type="button" role="tab" key=${name} aria-selected=${tab === name} onClick=${() => setTab(name)}>${name}</button>`)}</nav>
        <div class="inspector-body">
          ${tab === "settings" ? (node ? html`<${Inspector} key=${node.id} node=${node} type=${types[node.type]} problems=${overlay.problems[node.id] ?? []} disabled=${locked} onChange=${change} />` : html`<p class="empty">Choose a node, or add one from the left. Drag from port to port to connect.</p>`) : null}
          ${tab === "output" ? (run && node ? html`<${Output} run=${run} node=${node.id} />` : html`<p class="empty">${run ? "Choose a node." : "Run it, or choose a run."}</p>`) : null}
          ${tab === "runs" ? html`<${Runs} runs=${runs} chosen=${run?.id} onChoose=${(id) => follow(id).catch(fail)} onCancel=${(id) => api("POST", `/executions/${id}/cancel`).then(() => follow(id)).catch(fail)} />` : null}
          ${tab === "versions" ? html`<${Versions} root=${root} current=${session.version} disabled=${locked || isDirty} onRestore=${restore} />` : null}
        </div>
      </aside>
    </div>
  </${Overlay.Provider}>`;
}

function Inspector({ node, type, problems, disabled, onChange }) {
  return html`<div>
    <div class="field"><label for="node-label">label</label><${Name} id="node-label" value=${String(node.data?.label ?? "")} disabled=${disabled} onChange=${(label) => onChange({ label })} /></div>
    ${type ? html`<p class="hint">${type.summary}</p><${SettingsForm} type=${type} settings=${node.data?.settings ?? {}} problems=${problems} traders=${traders} disabled=${disabled} onChange=${(settings) => onChange({ settings })} />` : html`<p class="error">The type ${node.type} is not known here. It is kept as it is, but can't run.</p><pre class="evidence">${JSON.stringify(node.data, null, 1)}</pre>`}
    ${problems.filter((problem) => !problem.field || !type || !(problem.field.split(".")[0] in (type.settings.properties ?? {}))).map((problem) => html`<p class="error" key=${problem.text}>${problem.field ? `${problem.field}: ` : ""}${problem.text}</p>`)}
  </div>`;
}

function Name({ id, value, disabled, onChange }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  const end = () => { if (text.trim() && text !== value) onChange(text.trim()); };
  return html`<input id=${id ?? "session-name"} aria-label=${id ? undefined : "Name of the session"} class=${id ? "" : "session-name"} value=${text} disabled=${disabled} onChange=${(event) => setText(event.target.value)} onBlur=${end} onKeyDown=${(event) => { if (event.key === "Enter") event.target.blur(); }} />`;
}

function colour() {
  const theme = document.documentElement.dataset.theme;
  return theme === "dark" || theme === "light" ? theme : "system";
}

function useKeys(acts) {
  const latest = useRef(acts);
  latest.current = acts;
  useEffect(() => {
    const press = (event) => {
      if (!(event.ctrlKey || event.metaKey)) return;
      const key = event.key.toLowerCase();
      if (key === "s") { event.preventDefault(); document.activeElement?.blur?.(); setTimeout(() => latest.current.save(), 0); return; }
      if (event.target.matches("input, textarea, select") || document.querySelector("dialog[open]")) return;
      const act = key === "z" ? (event.shiftKey ? "redo" : "undo") : { y: "redo", c: "copy", v: "paste" }[key];
      if (!act || (act === "copy" && String(getSelection()))) return;
      event.preventDefault();
      latest.current[act]();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

Promise.all([api("GET", `/sessions/${root}`), api("GET", "/sessions/node-types")]).then(([first, listed]) => {
  const types = Object.fromEntries(listed.map((type) => [type.name, type]));
  ReactDOM.createRoot(page).render(html`<${ReactFlowProvider}><${Editor} first=${first} types=${types} /></${ReactFlowProvider}>`);
}).catch((error) => { page.textContent = `The session could not be loaded: ${error.message}`; });
