// The form of a node's settings, drawn from the JSON schema of its type.

const { useState, useEffect } = React;
const html = htm.bind(React.createElement);

export function SettingsForm({ type, settings, problems, traders, disabled, onChange }) {
  const schema = type.settings;
  const change = (name, value) => onChange({ ...settings, [name]: value });
  return Object.entries(schema.properties ?? {}).map(([name, property]) => {
    const wrong = problems.filter((problem) => problem.field === name || problem.field.startsWith(`${name}.`));
    return html`<div class="field" key=${name}>
      <label for=${`set-${name}`}>${name.replaceAll("_", " ")}</label>
      <${Input} id=${`set-${name}`} property=${resolved(property, schema)} value=${settings[name]} traders=${traders} disabled=${disabled} onChange=${(value) => change(name, value)} />
      ${wrong.map((problem) => html`<p class="error" key=${problem.text}>${problem.text}</p>`)}
    </div>`;
  });
}

function resolved(property, schema) {
  if (property.$ref) return { ...schema.$defs[property.$ref.split("/").pop()], ...property };
  if (!property.anyOf) return property;
  const inner = property.anyOf.find((one) => one.type !== "null") ?? {};
  return { ...inner, ...property, isNullable: property.anyOf.some((one) => one.type === "null") };
}

function Input({ id, property, value, traders, disabled, onChange }) {
  const common = { id, disabled };
  if (property.format === "conditions") return html`<${Conditions} ...${common} value=${value ?? []} operators=${property.operators} onChange=${onChange} />`;
  if (property.format === "answer_fields") return html`<${AnswerFields} ...${common} value=${value ?? []} onChange=${onChange} />`;
  if (property.format === "trader") {
    const known = traders.some((trader) => trader.id === value);
    return html`<select ...${common} value=${known ? value : ""} onChange=${(event) => onChange(event.target.value)}>
      <option value="">choose a trader</option>${traders.map((trader) => html`<option key=${trader.id} value=${trader.id}>${trader.name}</option>`)}
    </select>`;
  }
  if (property.enum) {
    return html`<select ...${common} value=${value ?? ""} onChange=${(event) => onChange(event.target.value === "" ? null : event.target.value)}>
      ${property.isNullable || value === undefined ? html`<option value="">${property.isNullable ? "the row's own" : "choose"}</option>` : null}
      ${property.enum.map((one) => html`<option key=${one} value=${one}>${one}</option>`)}
    </select>`;
  }
  if (property.type === "boolean") return html`<input ...${common} type="checkbox" checked=${!!value} onChange=${(event) => onChange(event.target.checked)} />`;
  if (property.type === "number" || property.type === "integer") return html`<${Draft} ...${common} value=${value ?? ""} inputMode="decimal" parse=${(text) => (text.trim() === "" || Number.isNaN(Number(text)) ? text : Number(text))} onChange=${onChange} />`;
  if (property.type === "array") return html`<${Draft} ...${common} value=${(value ?? []).join(", ")} parse=${(text) => text.split(",").map((part) => part.trim()).filter(Boolean)} onChange=${onChange} />`;
  return html`<${Draft} ...${common} value=${value ?? ""} rows=${property.format === "textarea" ? 3 : 0} parse=${(text) => text} onChange=${onChange} />`;
}

// Text that becomes a value when the field is left, so that half a number or list is nothing yet.
function Draft({ value, parse, rows, onChange, ...more }) {
  const [text, setText] = useState(String(value));
  useEffect(() => setText(String(value)), [value]);
  const end = () => { if (text !== String(value)) onChange(parse(text)); };
  const tag = rows ? "textarea" : "input";
  return html`<${tag} ...${more} rows=${rows || undefined} value=${text} onChange=${(event) => setText(event.target.value)} onBlur=${end} onKeyDown=${(event) => { if (event.key === "Enter" && !rows) end(); }} />`;
}

function Conditions({ id, value, operators, disabled, onChange }) {
  const put = (place, change) => onChange(value.map((row, number) => (number === place ? { ...row, ...change } : row)));
  const operand = (text) => {
    const one = (part) => (part.trim() !== "" && !Number.isNaN(Number(part)) ? Number(part) : part.trim());
    return text.includes(",") ? text.split(",").map(one) : one(text);
  };
  return html`<div class="rows">${value.map((row, place) => html`<div class="row-of-three" key=${place}>
      <${Draft} id=${place ? undefined : id} aria-label="field" value=${row.field ?? ""} parse=${(text) => text.trim()} disabled=${disabled} onChange=${(field) => put(place, { field })} />
      <select aria-label="operator" value=${row.operator ?? "gt"} disabled=${disabled} onChange=${(event) => put(place, { operator: event.target.value })}>${[...new Set([...operators, row.operator ?? "gt"])].map((one) => html`<option key=${one}>${one}</option>`)}</select>
      <${Draft} aria-label="value" value=${Array.isArray(row.value) ? row.value.join(", ") : row.value ?? ""} parse=${operand} disabled=${disabled} onChange=${(found) => put(place, { value: found })} />
      <button type="button" class="link" aria-label="Remove" disabled=${disabled} onClick=${() => onChange(value.filter((_, number) => number !== place))}>×</button>
    </div>`)}
    <button type="button" class="link" disabled=${disabled} onClick=${() => onChange([...value, { field: "close", operator: "gt", value: 0 }])}>Add a condition</button></div>`;
}

function AnswerFields({ id, value, disabled, onChange }) {
  const put = (place, change) => onChange(value.map((row, number) => (number === place ? { ...row, ...change } : row)));
  return html`<div class="rows">${value.map((row, place) => html`<div class="row-of-three" key=${place}>
      <${Draft} id=${place ? undefined : id} aria-label="name" value=${row.name ?? ""} parse=${(text) => text.trim()} disabled=${disabled} onChange=${(name) => put(place, { name })} />
      <select aria-label="type" value=${row.type ?? "text"} disabled=${disabled} onChange=${(event) => put(place, { type: event.target.value })}>${["number", "text", "yes_no", "choice"].map((one) => html`<option key=${one}>${one}</option>`)}</select>
      <${Draft} aria-label="choices" placeholder="choices" value=${(row.choices ?? []).join(", ")} parse=${(text) => text.split(",").map((part) => part.trim()).filter(Boolean)} disabled=${disabled || row.type !== "choice"} onChange=${(choices) => put(place, { choices })} />
      <button type="button" class="link" aria-label="Remove" disabled=${disabled} onClick=${() => onChange(value.filter((_, number) => number !== place))}>×</button>
    </div>`)}
    <button type="button" class="link" disabled=${disabled} onClick=${() => onChange([...value, { name: "answer", type: "text" }])}>Add a field</button></div>`;
}
