"""
A signal as it arrives by webhook: our own JSON, or what TradingView sends. Pure.

TradingView sends the alert's text verbatim and labels it text/plain when it is not valid JSON, so the body is parsed
whatever its label (tradingview.com support 43000529348). Known fields are read, others are kept as metadata.

BadPayload   what is wrong, naming the field
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

LARGEST_BODY = 16_384
SIDES = {"buy": "long", "long": "long", "sell": "short", "short": "short"}
READ = {"symbol", "ticker", "side", "action", "price", "close", "id", "external_id", "timenow", "time"}
SECRETS = {"secret", "passphrase", "key", "token", "password"}


class BadPayload(ValueError):
    """A body that is not a signal."""


@dataclass(frozen=True)
class Payload:
    """What was sent. An empty side means the trader's own."""

    symbol: str
    side: str
    price: Decimal | None
    external_id: str | None
    metadata: Mapping[str, Any]


def parse(body: bytes) -> Payload:
    """:raises BadPayload: naming the field that is wrong"""
    if len(body) > LARGEST_BODY:
        raise BadPayload(f"body: {len(body)} bytes, at most {LARGEST_BODY} are taken")
    try:
        data = json.loads(body.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadPayload("body: not JSON in UTF-8") from error
    if not isinstance(data, dict):
        raise BadPayload("body: an object is needed")
    symbol = _symbol(data.get("symbol", data.get("ticker")))
    metadata = {str(name)[:64]: _short(value) for name, value in list(data.items())[:40] if name not in READ | SECRETS}
    return Payload(symbol, _side(data), _price(data), _external_id(data, symbol), metadata)


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _symbol(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value.strip()) <= 128:
        raise BadPayload("symbol: a name is needed (symbol or ticker)")
    # TradingView names a perpetual BTCUSDT.P and may put the exchange in front.
    return value.strip().rpartition(":")[2].removesuffix(".P")


def _side(data: Mapping[str, Any]) -> str:
    value = data.get("side", data.get("action", ""))
    if value in ("", None):
        return ""
    if not isinstance(value, str) or value.lower() not in SIDES:
        raise BadPayload(f"side: was {str(value)[:40]!r}, allowed are {', '.join(SIDES)}")
    return SIDES[value.lower()]


def _price(data: Mapping[str, Any]) -> Decimal | None:
    value = data.get("price", data.get("close"))
    if value in ("", None):
        return None
    try:
        price = Decimal(str(value))
    except InvalidOperation as error:
        raise BadPayload(f"price: was {str(value)[:40]!r}, a number is needed") from error
    if isinstance(value, bool) or not price.is_finite() or not 0 < price < Decimal("1e15"):
        raise BadPayload(f"price: was {str(value)[:40]!r}, a positive number is needed")
    return price


def _external_id(data: Mapping[str, Any], symbol: str) -> str | None:
    """The sender's own id; for TradingView the symbol and the moment the alert fired, which a resend repeats."""
    value = data.get("external_id", data.get("id"))
    if value in ("", None):
        moment = data.get("timenow") or data.get("time")
        return f"{symbol}-{moment}"[:200] if isinstance(moment, str | int) and moment else None
    if isinstance(value, bool) or not isinstance(value, str | int) or len(str(value)) > 200:
        raise BadPayload("id: a text of at most 200 characters is needed")
    return str(value)


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return value[:1000]
    return value if isinstance(value, int | float | bool) or value is None else json.dumps(value)[:1000]
