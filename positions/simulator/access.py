"""
How each exchange lets somebody in and says no: keys, signatures, time windows, errors, and what goes wrong on request. Pure.

Sources: binance-spot-api-docs, rest-api.md; bybit-exchange/docs, v5 guide (HMAC of time, key, window and query or body);
OKX API v5 (base64 HMAC of time, method, path with query, and body; keys have a passphrase).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import parse_qsl

from monitoring.simulator.rest import RestError

from .faults import Fault, Trouble

LARGEST_WINDOW_MS, AHEAD_MS, OKX_WINDOW_MS = 60_000, 1_000, 30_000
PASSPHRASE = "simulated"  # noqa: S105 - of an exchange that has no money


@dataclass(frozen=True)
class Request:
    """What arrived; `headers` by small names."""

    method: str
    path: str
    query: str
    body: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """What goes back: with `is_cut` the connection breaks instead."""

    status: int
    body: Any
    headers: Mapping[str, str]
    is_cut: bool = False
    delay_s: float = 0.0


def secret_of(key: str) -> str:
    """The secret that belongs to a key."""
    return f"secret-of-{key}"


class Access(Protocol):
    """One exchange's ways."""

    @property
    def time_paths(self) -> tuple[str, ...]:
        """Where anybody may ask for the time."""

    @property
    def troubles(self) -> Mapping[Trouble, tuple[int, int, str]]:
        """What it says when something goes wrong: HTTP status, its own code, and words."""

    @property
    def too_many_orders(self) -> tuple[int, int, str]:
        """What it says beyond the limit of orders."""

    def time(self, now: int) -> Any:
        """The body that tells the time."""

    def wait_headers(self, wait_s: int, now: int) -> Mapping[str, str]:
        """How it says for how long it wants to be left alone."""

    def is_order(self, method: str, path: str) -> bool:
        """Whether a request counts as a new order."""

    def key(self, request: Request) -> str:
        """Whose request it is."""

    def checked(self, request: Request, now: int) -> dict[str, Any]:
        """The parameters of a request whose key, signature and time are right. :raises RestError:"""

    def error(self, error: RestError, request: Request, now: int) -> Answer:
        """An error in its own form."""

    def done(self, found: Any, now: int) -> Answer:
        """A good answer in its own form."""


class BinanceAccess:
    """Spot and USD-M futures."""

    time_paths = ("/api/v3/time", "/fapi/v1/time")
    troubles = {
        Trouble.SERVER_ERROR: (503, -1000, "Unknown error, please check your request or try again later."),
        Trouble.TIMEOUT: (408, -1007, "Timeout waiting for response from backend server. Send status unknown."),
        Trouble.REJECTED: (400, -2010, "Account has insufficient balance for requested action."),
        Trouble.FILTER: (400, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
        Trouble.CLOCK: (400, -1021, "Timestamp for this request is outside of the recvWindow."),
        Trouble.TOO_MANY: (429, -1003, "Way too many requests."),
        Trouble.BANNED: (418, -1003, "Way too many requests."),
        Trouble.MAINTENANCE: (503, -1016, "This service is no longer available."),
    }
    too_many_orders = (429, -1015, "Too many new orders; current limit is 300 orders per 10 SECOND.")

    def time(self, now: int) -> Any:
        return {"serverTime": now}

    def wait_headers(self, wait_s: int, now: int) -> Mapping[str, str]:
        return {"Retry-After": str(wait_s)}

    def is_order(self, method: str, path: str) -> bool:
        return method == "POST" and path.lower().endswith("order")

    def key(self, request: Request) -> str:
        return request.headers.get("x-mbx-apikey", "")

    def checked(self, request: Request, now: int) -> dict[str, str]:
        key = self.key(request)
        if not key:
            raise RestError(401, -2014, "API-key format invalid.")
        params = dict(parse_qsl(f"{request.query}&{request.body}".strip("&"), keep_blank_values=True))
        signed = (request.query + request.body).rpartition("&signature=")[0]
        if not hmac.compare_digest(_hex(key, signed), params.pop("signature", "")):
            raise RestError(400, -1022, "Signature for this request is not valid.")
        try:
            at, window = int(params.pop("timestamp", "0")), int(params.pop("recvWindow", "5000"))
        except ValueError as error:
            raise RestError(400, -1100, "Illegal characters found in parameter 'timestamp'.") from error
        if window > LARGEST_WINDOW_MS:
            raise RestError(400, -1131, "recvWindow must be less than 60000")
        if at >= now + AHEAD_MS or now - at > window:
            raise RestError(*self.troubles[Trouble.CLOCK])
        return params

    def error(self, error: RestError, request: Request, now: int) -> Answer:
        return Answer(error.status, error.body, error.headers)

    def done(self, found: Any, now: int) -> Answer:
        return Answer(200, found, {"X-MBX-USED-WEIGHT-1M": "1"})


class BybitAccess:
    """The unified account."""

    time_paths = ("/v5/market/time",)
    troubles = {
        Trouble.SERVER_ERROR: (503, 10016, "Server error."),
        Trouble.TIMEOUT: (200, 10000, "Server Timeout"),
        Trouble.REJECTED: (200, 110007, "ab not enough for new order"),
        Trouble.FILTER: (200, 110003, "Order price exceeds the allowable range."),
        Trouble.CLOCK: (200, 10002, "invalid request, please check your server timestamp or recv_window param."),
        Trouble.TOO_MANY: (200, 10006, "Too many visits. Exceeded the API Rate Limit."),
        Trouble.BANNED: (403, 10018, "Exceeded the IP Rate Limit."),
        Trouble.MAINTENANCE: (503, 10016, "Server error."),
    }
    too_many_orders = (200, 10006, "Too many visits. Exceeded the API Rate Limit.")

    def time(self, now: int) -> Any:
        return self._body(0, "OK", {"timeSecond": str(now // 1000), "timeNano": str(now * 10**6)}, now)

    def wait_headers(self, wait_s: int, now: int) -> Mapping[str, str]:
        return {"X-Bapi-Limit-Reset-Timestamp": str(now + wait_s * 1000)}

    def is_order(self, method: str, path: str) -> bool:
        return path == "/v5/order/create"

    def key(self, request: Request) -> str:
        return request.headers.get("x-bapi-api-key", "")

    def checked(self, request: Request, now: int) -> dict[str, Any]:
        key, headers = self.key(request), request.headers
        if not key:
            raise RestError(200, 10003, "API key is invalid.")
        at, window = headers.get("x-bapi-timestamp", ""), headers.get("x-bapi-recv-window", "5000")
        payload = request.body if request.method == "POST" else request.query
        if not hmac.compare_digest(_hex(key, at + key + window + payload), headers.get("x-bapi-sign", "")):
            raise RestError(200, 10004, "error sign! please check your signature generation algorithm.")
        if not at.isdigit() or not window.isdigit() or not now - int(window) <= int(at) < now + AHEAD_MS:
            raise RestError(*self.troubles[Trouble.CLOCK])
        return _json(request.body) if request.method == "POST" else dict(parse_qsl(request.query))

    def error(self, error: RestError, request: Request, now: int) -> Answer:
        return Answer(error.status, self._body(error.body["code"], str(error.body["msg"]), {}, now), error.headers)

    def done(self, found: Any, now: int) -> Answer:
        return Answer(200, self._body(0, "OK", found, now), {})

    def _body(self, code: Any, message: str, result: Any, now: int) -> Any:
        return {"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": now}


class OkxAccess:
    """The trading account, whose every key has the same passphrase here."""

    time_paths = ("/api/v5/public/time",)
    troubles = {
        Trouble.SERVER_ERROR: (503, 50001, "Service temporarily unavailable. Try again later."),
        Trouble.TIMEOUT: (400, 50004, "API endpoint request timeout (does not mean that the request was successful or failed)."),
        Trouble.REJECTED: (200, 51008, "Order failed. Insufficient USDT margin in account."),
        Trouble.FILTER: (200, 51006, "Order price is not within the price limit."),
        Trouble.CLOCK: (401, 50102, "Timestamp request expired."),
        Trouble.TOO_MANY: (429, 50011, "Too Many Requests"),
        Trouble.BANNED: (429, 50061, "Sub-account rate limit exceeded"),
        Trouble.MAINTENANCE: (503, 50001, "Service temporarily unavailable. Try again later."),
    }
    too_many_orders = (200, 50061, "You've reached the maximum order rate limit for this account.")

    def time(self, now: int) -> Any:
        return {"code": "0", "msg": "", "data": [{"ts": str(now)}]}

    def wait_headers(self, wait_s: int, now: int) -> Mapping[str, str]:
        return {}

    def is_order(self, method: str, path: str) -> bool:
        return method == "POST" and path in ("/api/v5/trade/order", "/api/v5/trade/order-algo")

    def key(self, request: Request) -> str:
        return request.headers.get("ok-access-key", "")

    def checked(self, request: Request, now: int) -> dict[str, Any]:
        key, headers = self.key(request), request.headers
        if not key:
            raise RestError(401, 50103, "Request header OK-ACCESS-KEY can't be empty.")
        at, query = headers.get("ok-access-timestamp", ""), f"?{request.query}" if request.query else ""
        signed = f"{at}{request.method}{request.path}{query}{request.body}"
        wanted = base64.b64encode(hmac.new(secret_of(key).encode(), signed.encode(), hashlib.sha256).digest()).decode()
        if not hmac.compare_digest(wanted, headers.get("ok-access-sign", "")):
            raise RestError(401, 50113, "Invalid Sign")
        if headers.get("ok-access-passphrase") != PASSPHRASE:
            raise RestError(401, 50105, "Request header OK-ACCESS-PASSPHRASE incorrect.")
        try:
            sent = int(datetime.fromisoformat(at).timestamp() * 1000)
        except ValueError as error:
            raise RestError(401, 50112, "Invalid OK-ACCESS-TIMESTAMP") from error
        if abs(now - sent) > OKX_WINDOW_MS:
            raise RestError(*self.troubles[Trouble.CLOCK])
        return _json(request.body) if request.method == "POST" else dict(parse_qsl(request.query))

    def error(self, error: RestError, request: Request, now: int) -> Answer:
        """Refused orders have a row that says why; anything else says it on top."""
        code, message = str(error.body["code"]), error.body["msg"]
        if error.status == 200 and request.method == "POST":
            row = {"sCode": code, "sMsg": message, "ordId": "", "algoId": "", "clOrdId": ""}
            return Answer(200, {"code": "1", "msg": "All operations failed", "data": [row]}, error.headers)
        return Answer(error.status, {"code": code, "msg": message, "data": []}, error.headers)

    def done(self, found: Any, now: int) -> Answer:
        return Answer(200, {"code": "0", "msg": "", "data": found}, {})


def trouble_of(access: Access, fault: Fault, trouble: Trouble, request: Request, now: int) -> Answer:
    """The answer that names a trouble, in the exchange's own form."""
    status, code, message = access.troubles[trouble]
    is_wait = trouble in (Trouble.TOO_MANY, Trouble.BANNED)
    headers = dict(access.wait_headers(fault.retry_after_s, now)) if is_wait else {}
    return access.error(RestError(status, code, message, headers), request, now)


def _hex(key: str, signed: str) -> str:
    return hmac.new(secret_of(key).encode(), signed.encode(), hashlib.sha256).hexdigest()


def _json(body: str) -> dict[str, Any]:
    """An object; of a list its first, as cancellations send one. :raises RestError: if it is neither"""
    try:
        found = json.loads(body or "{}")
    except ValueError as error:
        raise RestError(400, 50002, "Incorrect json data format") from error
    first = found[0] if isinstance(found, list) and found else found
    if not isinstance(first, dict):
        raise RestError(400, 50002, "Incorrect json data format")
    return first
