// The dialog that moves a kill switch, on every page. It states live facts first; what was on its way afterwards.

const $ = (id) => document.getElementById(id);
const dialog = $("switch");
const form = $("switch-form");
const VERBS = { reduce: "Reduce", halt: "Halt", flatten: "Flatten", resume: "Resume" };
let asked = 0;

function line(text, bad) {
  const item = document.createElement("li");
  item.textContent = text;
  if (bad) item.className = "bad";
  return item;
}

function say(id, texts) {
  $(id).hidden = texts.length === 0;
  $(id).replaceChildren(...(id === "switch-done" ? texts.map((text) => line(text)) : texts));
}

function action() {
  return form.elements.action.value;
}

function relabel() {
  const scope = $("switch-scope").selectedOptions[0];
  $("switch-word-field").hidden = action() !== "flatten";
  $("switch-word").required = action() === "flatten";
  $("switch-go").textContent = `${VERBS[action()]} ${scope ? scope.textContent : ""}`;
  $("switch-go").className = action() === "resume" ? "button primary" : "button danger";
}

function tell(facts) {
  const held = facts.positions ? `${facts.positions} positions (${facts.symbols.join(", ")}), ${facts.exposure} at cost` : "nothing is held";
  const lines = [line(`now ${facts.state}`), line(held), line(`${facts.orders} working orders, ${facts.adding} of them adding exposure`)];
  if (facts.unprotected.length) lines.push(line(`without a stop: ${facts.unprotected.join(", ")}`, true));
  if (facts.unclear) lines.push(line(`${facts.unclear} orders whose fate is not clear yet`, true));
  if (action() === "resume") {
    if (facts.drifted.length) lines.push(line(`the exchange holds something else than we do: ${facts.drifted.join(", ")}`, true));
    if (!facts.unclear && !facts.drifted.length && !facts.unprotected.length) lines.push(line("nothing is unclear, unprotected or different from the exchange: it resumes clean"));
  }
  if (action() === "halt" && facts.managed) {
    lines.push(line(`${facts.managed} positions will not be managed; their stops stay at the exchange`, true));
  }
  if (facts.setups && action() !== "resume") lines.push(line(`${facts.setups} setups will be skipped unasked`));
  if (!facts.may_move) lines.push(line("you may look, but not move switches", true));
  $("switch-go").disabled = !facts.may_move;
  $("switch-facts").replaceChildren(...lines);
}

async function refresh() {
  const mine = ++asked;
  const scope = $("switch-scope").value || "all";
  const answer = await fetch(`${dialog.dataset.facts}?scope=${encodeURIComponent(scope)}`, { headers: { Accept: "application/json" } });
  if (mine !== asked) return;
  if (!answer.ok) {
    say("switch-error", ["The facts could not be read; the switch can be moved all the same."]);
    return;
  }
  const facts = await answer.json();
  const options = facts.scopes.map(({ scope: value, name }) => new Option(name, value, false, value === scope));
  if (!facts.scopes.some((entry) => entry.scope === scope)) options.push(new Option(scope.replace(":", " "), scope, false, true));
  $("switch-scope").replaceChildren(...options);
  tell(facts);
  relabel();
}

export function open({ scope = "all", what = "halt" } = {}) {
  form.reset();
  form.elements.action.value = what;
  $("switch-scope").replaceChildren(new Option(scope === "all" ? "everything" : scope.replace(":", " "), scope, true, true));
  say("switch-error", []);
  say("switch-done", []);
  $("switch-go").hidden = false;
  $("switch-go").disabled = false;
  $("switch-cancel").textContent = "Cancel";
  relabel();
  if (!dialog.open) dialog.showModal();
  $("switch-reason").focus();
  refresh().catch(() => say("switch-error", ["The facts could not be read; the switch can be moved all the same."]));
}

async function submit(event) {
  event.preventDefault();
  $("switch-go").disabled = true;
  say("switch-error", []);
  try {
    const answer = await fetch(form.getAttribute("action"), { method: "POST", body: new FormData(form), headers: { Accept: "application/json" } });
    const found = answer.headers.get("Content-Type")?.includes("json") ? await answer.json() : { error: `refused (${answer.status})` };
    if (!answer.ok) throw new Error(found.error);
    say("switch-done", [found.text, ...found.in_flight.map((order) => `still on its way: ${order}`)]);
    $("switch-go").hidden = true;
    $("switch-cancel").textContent = "Close";
    $("switch-cancel").focus();
    if (!found.in_flight.length && action() !== "flatten") setTimeout(() => dialog.close(), 1200);
  } catch (error) {
    say("switch-error", [error.message || "The desk did not answer. Use manage.py trading on the server."]);
    $("switch-go").disabled = false;
  }
}

if (dialog) {
  form.addEventListener("submit", submit);
  $("switch-reason").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.ctrlKey) form.requestSubmit();
  });
  form.addEventListener("change", (event) => {
    relabel();
    if (event.target.name === "action" || event.target.id === "switch-scope") refresh();
  });
  $("switch-cancel").addEventListener("click", () => dialog.close());
  document.querySelectorAll("[data-switch]").forEach((button) => button.addEventListener("click", () => {
    open({ scope: button.dataset.scope || "all", what: button.dataset.switch });
  }));
}
