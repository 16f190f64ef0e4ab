"""A WebSocket connection that can be made half-open: the other side is never told, and nothing goes through any more."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_open: dict[tuple[str, int] | None, HalfOpenProtocol] = {}


class HalfOpenProtocol(WebSocketsSansIOProtocol):
    """uvicorn's own protocol, which freezes when it is told to."""

    is_frozen = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        _open[self.client] = self

    def connection_lost(self, exc: Exception | None) -> None:
        _open.pop(self.client, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self.is_frozen:
            super().data_received(data)

    def send_keepalive_ping(self) -> None:
        if not self.is_frozen:
            super().send_keepalive_ping()


def freeze(client: tuple[str, int]) -> None:
    """From now on nothing that this client sends is read, and no ping goes out to it."""
    if protocol := _open.get(tuple(client)):  # type: ignore[arg-type]
        protocol.is_frozen = True
