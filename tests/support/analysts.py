"""An endpoint that answers like a model over HTTP: real sockets, scripted answers."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, Any]


def completion(answer: Any, **over: Any) -> Reply:
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


class StubEndpoint:
    """Counts what it was asked, and answers what `script` says."""

    def __init__(self, script: Callable[[dict[str, Any]], Reply], *, delay_s: float = 0.0) -> None:
        self.script, self.delay_s = script, delay_s
        self.requests: list[dict[str, Any]] = []
        self.url = ""

    @contextlib.contextmanager
    def running(self) -> Iterator[StubEndpoint]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                stub.requests.append(body)
                if stub.delay_s:
                    time.sleep(stub.delay_s)
                status, reply = stub.script(body)
                data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
                with contextlib.suppress(OSError):  # the client may have given up
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
