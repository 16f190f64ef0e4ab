// One socket per page: events after a cursor, and the status of the desk. Comes back by itself and resumes where it was.

const DEAD_AFTER_MS = 15000; // the status arrives every second; longer silence is a dead link
const LONGEST_PAUSE_MS = 15000;
const LOGGED_OUT = 4401;

export function follow({ after, onEvents, onStatus, onState }) {
  let cursor = after;
  let failures = 0;
  let socket = null;
  let deadline = 0;

  function connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    socket = new WebSocket(`${scheme}://${location.host}/ws/feed/?after=${cursor}`);
    deadline = Date.now() + DEAD_AFTER_MS;
    socket.onopen = () => { failures = 0; onState("live"); };
    socket.onmessage = (message) => {
      deadline = Date.now() + DEAD_AFTER_MS;
      const data = JSON.parse(message.data);
      if (data.type === "status") return onStatus(data);
      const fresh = data.events.filter((event) => event.seq > cursor);
      cursor = Math.max(cursor, data.cursor);
      if (fresh.length) onEvents(fresh);
    };
    socket.onclose = (event) => {
      if (event.code === LOGGED_OUT) { location.reload(); return; }
      onState("reconnecting");
      failures += 1;
      const pause = Math.min(LONGEST_PAUSE_MS, 250 * 2 ** failures) * (0.5 + Math.random() / 2);
      setTimeout(connect, pause);
    };
  }

  setInterval(() => { if (socket && socket.readyState <= 1 && Date.now() > deadline) socket.close(); }, 1000);
  connect();
}
