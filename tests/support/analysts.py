"""An endpoint that answers like a model over HTTP: real sockets, scripted answers."""

from __future__ import annotations

import bisect
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, Any] | tuple[int, Any, dict[str, str]]


def completion(answer: Any, **over: Any) -> tuple[int, Any]:
    """An HTTP 200 whose content is `answer`, as JSON unless it is a text."""
    content = answer if isinstance(answer, str) else json.dumps(answer)
    choice = {"index": 0, "message": {"role": "assistant", "content": content, "refusal": None}, "finish_reason": "stop", **over}
    return 200, {"choices": [choice], "usage": {"prompt_tokens": 900, "completion_tokens": 120, "cost": 0.00042}}


def verdict(decision: str, **over: Any) -> dict[str, Any]:
    """A whole answer."""
    return {
        "decision": decision,
        "confidence": 0.7,
        "reasoning": "stub",
        "tradePlan": None,
        "details": None,
        "marketConditions": None,
        **over,
    }


def entering(body: dict[str, Any], decision: str = "enter", **over: Any) -> dict[str, Any]:
    """An answer that enters at the close which the question tells of, with a stop and a target around it."""
    close = float(data_of(body)["candle"]["close"])
    plan = {"entry": close, "stopLoss": close * 0.98, "takeProfit": close * 1.04, "positionSize": None, "timeframe": None}
    return verdict(decision, tradePlan=plan, **over)


def data_of(body: dict[str, Any]) -> dict[str, Any]:
    """What stands between the fences of a question."""
    found: dict[str, Any] = json.loads(body["messages"][1]["content"].partition("<data>\n")[2].partition("\n</data>")[0])
    return found


class StubEndpoint:
    """Counts what it was asked, and answers what `script` says."""

    def __init__(self, script: Callable[[dict[str, Any]], Reply], *, delay_s: float = 0.0) -> None:
        self.script, self.delay_s = script, delay_s
        self.requests: list[dict[str, Any]] = []
        self.arrivals: list[float] = []  # time.monotonic
        self.open, self.most_open = 0, 0
        self._lock = threading.Lock()
        self.url = ""

    @contextlib.contextmanager
    def running(self) -> Iterator[StubEndpoint]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                stub._begin(body)
                if stub.delay_s:
                    time.sleep(stub.delay_s)
                status, reply, *more = stub.script(body)
                data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
                stub._end()
                with contextlib.suppress(OSError):  # the client may have given up
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(data)))
                    for name, value in more[0].items() if more else ():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 1024

        server = Server(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def most_in(self, *, seconds: float) -> int:
        """The most requests that arrived within any such span."""
        times = sorted(self.arrivals)
        return max((bisect.bisect_left(times, at + seconds) - index for index, at in enumerate(times)), default=0)

    def _begin(self, body: dict[str, Any]) -> None:
        with self._lock:
            self.requests.append(body)
            self.arrivals.append(time.monotonic())
            self.open += 1
            self.most_open = max(self.most_open, self.open)

    def _end(self) -> None:
        with self._lock:
            self.open -= 1
