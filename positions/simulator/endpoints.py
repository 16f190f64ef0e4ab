"""What the endpoints of all simulated exchanges have in common. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from monitoring.simulator.rest import RestError

from .books import Book, Order, Refused

Params = Mapping[str, Any]
Route = Callable[[Params, int, Decimal], Any]


class Endpoints:
    """The endpoints of one account at one exchange, over its book."""

    errors: Mapping[str, tuple[int, str]] = {}
    """What the book refuses, as the exchange says it: code and words."""
    refused_status = 400

    def __init__(self, book: Book) -> None:
        self.book = book
        self._routes = self.routes()

    def routes(self) -> dict[tuple[str, str], Route]:
        """The endpoints by method and path."""
        raise NotImplementedError

    def knows(self, method: str, path: str) -> bool:
        """Whether there is such an endpoint."""
        return (method, path) in self._routes

    def serves(self, path: str) -> bool:
        """Whether the path has any method."""
        return any(path == known for _, known in self._routes)

    def handle(self, method: str, path: str, params: Params, *, now_ms: int, part: Decimal = Decimal(1)) -> Any:
        """
        What is answered. `part` is how much of a market order fills.

        :raises RestError: with the exchange's own code
        """
        self.book.advance(now_ms=now_ms)
        return self._routes[method, path](params, now_ms, part)

    def place(self, order: Order, *, now: int, part: Decimal) -> Order:
        """:raises RestError: if the book refuses"""
        try:
            return self.book.place(order, now_ms=now, part=part)
        except Refused as error:
            raise RestError(self.refused_status, *self.errors[error.code]) from error

    def cancel(self, order: Order, *, now: int) -> Order:
        """:raises RestError: if the book refuses"""
        try:
            return self.book.cancel(order, now_ms=now)
        except Refused as error:
            raise RestError(self.refused_status, *self.errors[error.code]) from error


def number(params: Params, name: str, *, error: RestError) -> Decimal:
    """A finite number that was sent as text, else the error."""
    try:
        found = Decimal(str(params[name]))
    except (KeyError, InvalidOperation):
        raise error from None
    if not found.is_finite():
        raise error
    return found
