"""
ccxt as the hands at an exchange: signing, addresses, connection, pacing. What an answer means is decided by us.

Orders go by the exchange's own endpoints and not by ccxt's unified calls: those drop attached stops without a word, turn
an edited stop into a market order and a market order with a price into one by quote, round a stop across the market, and
report a ban like a lost connection (ccxt 4.5.90). What may have been done (5xx, a time-out, no answer) is `Unclear`; what
surely was not is `Rejected`, `Throttled` or `OrderNotFound`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import ccxt

from .contract import OPEN, PARTIALLY_FILLED, ExchangeError, OrderNotFound, OrderReport, TradeReport, Unclear

logger = logging.getLogger(__name__)
TIMEOUT_MS = 10_000  # the exchanges' own servers give up after ten seconds
RECEIVE_WINDOW_MS = 10_000
IS_PACED = True  # whether ccxt keeps the pace that an exchange asks for
WAIT_S = 5.0  # when a refusal names no time of its own
LISTING_TRIES, LISTING_PAUSE_S = 6, 0.1


class Answered(Exception):
    """An answer that is an error: its HTTP status, the exchange's own code and words, and how long it wants to be left alone."""

    def __init__(self, status: int, code: int | None, message: str, wait_s: float | None = None) -> None:
        super().__init__(f"HTTP {status} {code or ''} {message}")
        self.status, self.code, self.message, self.wait_s = status, code, message, wait_s


class DeskClient:
    """
    What our clients put in front of ccxt's: the desk's clock, and errors that keep the exchange's own code.

    ccxt turns an error into one of its own by the address of the request and by words in it, which loses the code.
    """

    clock_code = 0
    """The exchange's code for a request whose time it does not accept."""
    time_path = ""
    """ccxt's name of the endpoint that tells the exchange's time."""
    clock_ms: Callable[[], int]
    options: dict[str, Any]

    def nonce(self) -> int:
        """The request's time in the exchange's milliseconds."""
        return int(self.clock_ms() - self.options["timeDifference"])

    def set_clock(self, *, server_ms: int) -> None:
        """Follow the exchange's clock from now on."""
        self.options["timeDifference"] = self.clock_ms() - server_ms

    def handle_errors(self, *found: Any) -> None:
        """ccxt hands over status, reason, address, method, headers, text and parsed body of an answer."""
        status, reason, _url, _method, headers, _text, body = found[:7]
        if failure := self.failure(status, str(reason), headers or {}, body):
            raise failure

    def failure(self, status: int, reason: str, headers: Mapping[str, str], body: Any) -> Answered | None:
        """The error that an answer is; None when it is none."""
        raise NotImplementedError

    def meaning(self, error: Answered) -> ExchangeError:
        """What an error means for the order that was sent."""
        raise NotImplementedError

    def server_ms(self, answer: Any) -> int:
        """The exchange's time, from the answer of `time_path`."""
        raise NotImplementedError


class Caller:
    """Calls endpoints of one account; every failure is one of the contract's errors."""

    def __init__(self, client: DeskClient) -> None:
        self._client = client

    def now_ms(self) -> int:
        """The exchange's time."""
        return self._client.nonce()

    def get(self, name: str, params: Mapping[str, Any]) -> Any:
        """Call a reading endpoint by ccxt's name for it."""
        return self._call(name, params)

    def send(self, name: str, params: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Any:
        """Call an endpoint that changes something; a clock that was refused is set right, and then it is sent for the first time."""
        return self._call(name, params)

    def _call(self, name: str, params: Mapping[str, Any] | Sequence[Mapping[str, Any]], *, again: bool = True) -> Any:
        try:
            return getattr(self._client, name)(dict(params) if isinstance(params, Mapping) else [dict(one) for one in params])
        except Answered as error:
            if error.code == self._client.clock_code and again:
                self._set_clock()
                return self._call(name, params, again=False)
            raise self._client.meaning(error) from error
        except ccxt.BaseError as error:
            # No answer, or none that can be read: ccxt's text holds the address with the signed query, so only its kind is kept.
            raise Unclear(f"no clear answer ({type(error).__name__})") from None

    def _set_clock(self) -> None:
        answer = self._call(self._client.time_path, {}, again=False)
        self._client.set_clock(server_ms=self._client.server_ms(answer))
        logger.warning("the exchange's clock differs; it is followed from now on")


def complete(read: Callable[[], list[TradeReport]], report: OrderReport) -> list[TradeReport]:
    """
    The fills of an order, read again until they add up to what is filled: they are listed a moment later.

    :raises Unclear: if they don't
    """
    for left in reversed(range(LISTING_TRIES)):
        found = read() if report.fills_id else []
        if sum((trade.quantity for trade in found), Decimal(0)) >= report.filled:
            return found
        if left:
            time.sleep(LISTING_PAUSE_S)  # nothing tells when they are listed
    raise Unclear(f"the fills of order {report.exchange_order_id} do not add up to {report.filled} yet")


def outcome(read: Callable[[], OrderReport], *, taken: OrderReport, ends_at_once: bool) -> OrderReport:
    """
    What became of an order whose answer only said that it was taken, as it is `taken`.

    :raises Unclear: if that can't be read, whatever the reason: the order is there, and must not be called refused
    """
    try:
        return finished(read) if ends_at_once else read()
    except OrderNotFound:  # listed a moment later
        return taken
    except ExchangeError as error:
        raise Unclear(f"it was taken, and what became of it is not known: {error}") from error


def finished(read: Callable[[], OrderReport]) -> OrderReport:
    """
    An order that should end at once, looked up until it has.

    :raises Unclear: if it goes on
    """
    for left in reversed(range(LISTING_TRIES)):
        report = read()
        if report.status not in (OPEN, PARTIALLY_FILLED):
            return report
        if left:
            time.sleep(LISTING_PAUSE_S)  # nothing tells when it is matched
    raise Unclear(f"order {report.exchange_order_id} is still {report.status}")


def text(number: Decimal | None) -> str:
    """A number as exchanges take it: plain digits."""
    assert number is not None
    return f"{number.normalize():f}"


def integer(value: Any) -> int | None:
    """A code, sent as a number or as text; None if it is neither."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
