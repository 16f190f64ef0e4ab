"""JSON for graphs that strangers may have drawn: allowed hosts only, public addresses only, bounded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import urllib3

from workflows import fetching
from workflows.nodes.contract import NodeFailed


class TestHosts:
    @pytest.mark.parametrize(
        "url",
        [
            "https://evil.example/",
            "http://rates.example/",
            "https://rates.example.evil.example/",
            "https://127.0.0.1/",
            "file:///etc/passwd",
        ],
    )
    def test_only_named_hosts_over_https(self, settings: Any, url: str) -> None:
        settings.SESSION_HTTP_HOSTS = {"rates.example"}
        with pytest.raises(NodeFailed, match="SESSION_HTTP_HOSTS"):
            fetching.fetch(url)

    @pytest.mark.parametrize(
        "address",
        ["127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "0.0.0.0", "::1", "fe80::1%eth0", "fd00::1",
         "::ffff:127.0.0.1", "224.0.0.1", "100.64.0.1"],
    )  # fmt: skip
    def test_an_address_that_is_not_public_is_refused_even_beside_one_that_is(self, address: str) -> None:
        with pytest.raises(NodeFailed, match="not a public address"):
            fetching.public_address("rates.example", ["93.184.216.34", address])

    def test_a_public_one_is_taken_as_it_was_looked_at(self) -> None:
        assert fetching.public_address("rates.example", ["93.184.216.34"]) == "93.184.216.34"

    def test_an_allowed_name_that_leads_home_is_refused(self, settings: Any) -> None:
        settings.SESSION_HTTP_HOSTS = {"localhost"}
        with pytest.raises(NodeFailed, match="not a public address"):
            fetching.fetch("https://localhost/")


class TestAnswers:
    @pytest.fixture
    def pool(self) -> Iterator[urllib3.HTTPConnectionPool]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                bodies = {"/json": b'{"a": 1}', "/text": b"hello", "/huge": b"1" * (fetching.LARGEST + 10)}
                self.send_response({"/moved": 302, "/broken": 500, "/gone": 404}.get(self.path, 200))
                self.send_header("Location", "/json")
                self.end_headers()
                self.wfile.write(bodies.get(self.path, b"{}"))

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with urllib3.HTTPConnectionPool("127.0.0.1", server.server_port, timeout=5, retries=False) as pool:
            yield pool
        server.shutdown()
        server.server_close()

    def test_json_comes_back(self, pool: urllib3.HTTPConnectionPool) -> None:
        assert fetching.ask(pool, "/json", host="rates.example") == {"a": 1}

    @pytest.mark.parametrize(
        ("path", "said", "is_shared"),
        [
            ("/moved", "answered 302", False),
            ("/gone", "answered 404", False),
            ("/broken", "answered 500", True),
            ("/text", "not answer with JSON", False),
            ("/huge", "more than", False),
        ],
    )
    def test_anything_else_is_named(self, pool: urllib3.HTTPConnectionPool, path: str, said: str, is_shared: bool) -> None:
        with pytest.raises(NodeFailed, match=said) as caught:
            fetching.ask(pool, path, host="rates.example")
        assert caught.value.is_shared is is_shared

    def test_silence_is_nobodys_fault(self) -> None:
        with (
            urllib3.HTTPConnectionPool("127.0.0.1", 1, retries=False) as pool,
            pytest.raises(NodeFailed, match="does not answer") as caught,
        ):
            fetching.ask(pool, "/", host="rates.example")
        assert caught.value.is_shared
