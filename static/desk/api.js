// The desk's own API, from its pages: JSON in and out, with the page's CSRF token. A refusal is an Error with `status` and `problems`.

export async function api(method, path, body) {
  const token = document.cookie.split("; ").find((cookie) => cookie.startsWith("csrftoken="))?.slice(10) ?? "";
  const answer = await fetch(`/api/v1${path}`, {
    method,
    headers: { "Content-Type": "application/json", "X-CSRFToken": token },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  let found = null;
  try {
    found = text ? JSON.parse(text) : null;
  } catch {
    found = null;
  }
  if (answer.ok) return found;
  const error = new Error(found?.error ?? `refused (${answer.status})`);
  error.status = answer.status;
  error.problems = found?.problems ?? [];
  throw error;
}
