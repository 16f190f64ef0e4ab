"""
OKX's endpoints over the books: USDT-margined perpetual swaps in net mode. Pure.

Source: OKX API v5, as read in ccxt 4.5.90. Sizes are in contracts; a symbol is listed as its swap, BTC-USDT-SWAP; new
orders are only acknowledged; stops live in the algo service and become another order; what is charged is negative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from monitoring.simulator.market import Listing
from monitoring.simulator.rest import RestError

from .books import BUY, CANCELED, EXPIRED, FILLED, NEW, PARTIALLY_FILLED, SELL, TRIGGERED, ZERO, Holding, Order, Trade
from .endpoints import Endpoints, Params, Route, number
from .rendering import text

LOT = Decimal("0.1")  # contracts
STATES = {NEW: "live", PARTIALLY_FILLED: "partially_filled", FILLED: "filled", CANCELED: "canceled", EXPIRED: "canceled"}
ALGO_STATES = {NEW: "live", TRIGGERED: "effective", CANCELED: "canceled", EXPIRED: "canceled"}
NOT_THERE = RestError(200, 51603, "Order does not exist")


class OkxApi(Endpoints):
    """One account."""

    errors = {
        "would_trigger": (51280, "SL trigger price cannot be higher than the last price."),
        "funds": (51008, "Order failed. Insufficient USDT margin in account."),
        "reduce_only": (51169, "Order failed because you don't have any positions in this direction to reduce or close."),
        "unknown_order": (51400, "Cancellation failed as the order has been filled, canceled or does not exist."),
        "duplicate": (51016, "Client order ID already exists."),
    }
    refused_status = 200
    position_mode = "net_mode"

    def routes(self) -> dict[tuple[str, str], Route]:
        return {
            ("POST", "/api/v5/trade/order"): self._place,
            ("POST", "/api/v5/trade/order-algo"): self._place_algo,
            ("POST", "/api/v5/trade/cancel-order"): self._cancel_plain,
            ("POST", "/api/v5/trade/cancel-algos"): self._cancel_algo,
            ("GET", "/api/v5/trade/order"): lambda p, now, part: [self._order(self._known(p))],
            ("GET", "/api/v5/trade/order-algo"): lambda p, now, part: [self._algo(self._known_algo(p))],
            ("GET", "/api/v5/trade/orders-pending"): _paged("ordId", self._pending),
            ("GET", "/api/v5/trade/orders-algo-pending"): _paged("algoId", self._pending_algo),
            ("GET", "/api/v5/trade/fills"): _paged("billId", self._fills),
            ("GET", "/api/v5/trade/fills-history"): _paged("billId", self._fills),
            ("GET", "/api/v5/account/positions"): self._positions,
            ("GET", "/api/v5/account/balance"): self._balance,
            ("GET", "/api/v5/account/config"): lambda p, now, part: [{"acctLv": "2", "posMode": self.position_mode}],
            ("POST", "/api/v5/account/set-leverage"): self._leverage,
        }

    def _place(self, params: Params, now: int, part: Decimal) -> Any:
        order = self._new(params, client_id=str(params.get("clOrdId", "")))
        if params.get("ordType") == "limit":
            order.type, order.price = "LIMIT", self._price(params, "px", order.symbol)
        elif params.get("ordType") != "market":
            raise RestError(200, 51000, "Parameter ordType error")
        placed = self.place(order, now=now, part=part)
        return [{"ordId": str(placed.id), "clOrdId": placed.client_id, "sCode": "0", "sMsg": "", "ts": str(now)}]

    def _place_algo(self, params: Params, now: int, part: Decimal) -> Any:
        if params.get("ordType") != "conditional" or params.get("slOrdPx") != "-1":
            raise RestError(200, 51000, "Parameter ordType error")
        order = self._new(params, client_id=str(params.get("algoClOrdId", "")))
        order.type, order.is_conditional = "STOP", True
        order.trigger = self._price(params, "slTriggerPx", order.symbol)
        placed = self.place(order, now=now, part=part)
        return [{"algoId": str(placed.id), "algoClOrdId": placed.client_id, "sCode": "0", "sMsg": ""}]

    def _new(self, params: Params, *, client_id: str) -> Order:
        listing, side = self._listing(params), {"buy": BUY, "sell": SELL}.get(str(params.get("side")))
        if side is None or params.get("tdMode") not in ("isolated", "cross") or params.get("posSide", "net") != "net":
            raise RestError(200, 51000, "Parameter side, tdMode or posSide error")
        if not client_id.isalnum() or len(client_id) > 32:
            raise RestError(200, 51000, "Parameter clOrdId error")
        size = number(params, "sz", error=RestError(200, 51000, "Parameter sz error"))
        if size <= 0 or size % LOT:
            raise RestError(200, 51121, "Order quantity must be a multiple of the lot size.")
        quantity = size * contract_value(listing)
        return Order(0, client_id, listing.symbol, side, "MARKET", quantity, reduce_only=params.get("reduceOnly") is True)

    def _cancel_plain(self, params: Params, now: int, part: Decimal) -> Any:
        found = self.book.find(self._listing(params).symbol, client_id=str(params.get("clOrdId", "")))
        return [{"ordId": str(self._canceled(found, now).id), "sCode": "0", "sMsg": ""}]

    def _cancel_algo(self, params: Params, now: int, part: Decimal) -> Any:
        found = self.book.find(self._listing(params).symbol, order_id=int(params.get("algoId") or 0), is_conditional=True)
        return [{"algoId": str(self._canceled(found, now).id), "sCode": "0", "sMsg": ""}]

    def _canceled(self, order: Order | None, now: int) -> Order:
        if order is None:
            raise RestError(200, *self.errors["unknown_order"])
        return self.cancel(order, now=now)

    def _known(self, params: Params) -> Order:
        symbol, name, identity = self._listing(params).symbol, str(params.get("clOrdId", "")), int(params.get("ordId") or 0)
        found = self.book.find(symbol, client_id=name, order_id=identity)
        if found is None:
            raise NOT_THERE
        return found

    def _known_algo(self, params: Params) -> Order:
        name, identity = str(params.get("algoClOrdId", "")), int(params.get("algoId") or 0)
        found = self.book.find("", client_id=name, order_id=identity, is_conditional=True)
        if found is None:
            raise NOT_THERE
        return found

    def _pending(self, params: Params, now: int) -> Iterable[dict[str, Any]]:
        return (self._order(order) for order in reversed(self.book.open_orders()) if not order.is_conditional)

    def _pending_algo(self, params: Params, now: int) -> Iterable[dict[str, Any]]:
        return (self._algo(order) for order in reversed(self.book.open_orders()) if order.is_conditional)

    def _fills(self, params: Params, now: int) -> Iterable[dict[str, Any]]:
        symbol, identity, since = params.get("instId"), params.get("ordId"), int(params.get("begin", 0))
        trades = [trade for found in self.book.trades.values() for trade in found]
        for trade in sorted(trades, key=lambda trade: -trade.id):
            listing = self.book.listings[trade.symbol]
            if symbol in (None, swap(listing)) and identity in (None, str(trade.order_id)) and trade.at_ms >= since:
                yield _fill(trade, listing, self.book.orders[trade.order_id])

    def _positions(self, params: Params, now: int, part: Decimal) -> Any:
        wanted = params.get("instId")
        names = {swap(self.book.listings[name]): name for name, held in self.book.holdings.items() if held.amount}
        return [self._position(shown, name) for shown, name in names.items() if wanted in (None, shown)]

    def _position(self, shown: str, name: str) -> dict[str, Any]:
        held = self.book.holdings[name]
        size = held.amount / contract_value(self.book.listings[name])
        place = {"instId": shown, "instType": "SWAP", "posSide": "net", "lever": str(held.leverage)}
        return {**place, "pos": text(size), "avgPx": text(held.entry_price)}

    def _balance(self, params: Params, now: int, part: Decimal) -> Any:
        equity = self.book.wallet.get("USDT", ZERO) + self.book.unrealized(now_ms=now)
        row = {"ccy": "USDT", "eq": text(equity), "cashBal": text(self.book.wallet.get("USDT", ZERO))}
        return [{"totalEq": text(equity), "details": [{**row, "availEq": text(max(ZERO, self.book.available("USDT", now_ms=now)))}]}]

    def _leverage(self, params: Params, now: int, part: Decimal) -> Any:
        symbol, leverage = self._listing(params).symbol, int(params.get("lever", "0"))
        if not 1 <= leverage <= 100 or params.get("mgnMode") not in ("isolated", "cross"):
            raise RestError(200, 59102, "Leverage exceeds the maximum limit.")
        self.book.holdings.setdefault(symbol, Holding()).leverage = leverage
        return [{"instId": params["instId"], "lever": str(leverage), "mgnMode": params["mgnMode"]}]

    def _order(self, order: Order) -> dict[str, Any]:
        listing = self.book.listings[order.symbol]
        value = contract_value(listing)
        return {
            "instId": swap(listing),
            "ordId": str(order.id),
            "clOrdId": order.client_id,
            "side": order.side.lower(),
            "ordType": "limit" if order.type == "LIMIT" else "market",
            "sz": text(order.quantity / value),
            "px": text(order.price) if order.price else "",
            "state": STATES[order.status],
            "accFillSz": text(order.filled / value),
            "avgPx": text(order.quote / order.filled) if order.filled else "",
            "reduceOnly": str(order.reduce_only).lower(),
            "cTime": str(order.created_ms),
            "uTime": str(order.updated_ms),
        }

    def _algo(self, order: Order) -> dict[str, Any]:
        listing = self.book.listings[order.symbol]
        return {
            "instId": swap(listing),
            "algoId": str(order.id),
            "algoClOrdId": order.client_id,
            "side": order.side.lower(),
            "ordType": "conditional",
            "sz": text(order.quantity / contract_value(listing)),
            "slTriggerPx": text(order.trigger or ZERO),
            "slOrdPx": "-1",
            "tpTriggerPx": "",
            "state": ALGO_STATES[order.status],
            "ordIdList": [str(order.actual_id)] if order.actual_id else [],
            "reduceOnly": str(order.reduce_only).lower(),
        }

    def _listing(self, params: Params) -> Listing:
        base, quote, kind = (*str(params.get("instId", "")).split("-"), "", "", "")[:3]
        found = self.book.listings.get(f"{base}{quote}")
        if found is None or kind != "SWAP":
            raise RestError(200, 51001, "Instrument ID does not exist")
        return found

    def _price(self, params: Params, name: str, symbol: str) -> Decimal:
        wrong = RestError(200, 51000, f"Parameter {name} error")
        found = number(params, name, error=wrong)
        if found <= 0 or found % self.book.listings[symbol].tick:
            raise wrong
        return found


def instruments(listings: Iterable[Listing]) -> list[dict[str, str]]:
    """The public list of swaps."""
    return [
        {
            "instId": swap(listing),
            "instType": "SWAP",
            "ctType": "linear",
            "settleCcy": listing.quote,
            "ctVal": text(contract_value(listing)),
            "ctValCcy": listing.base,
            "lotSz": text(LOT),
            "minSz": text(LOT),
            "tickSz": text(listing.tick),
            "state": "live",
        }
        for listing in listings
    ]


def swap(listing: Listing) -> str:
    """The swap's own id of a listing."""
    return f"{listing.base}-{listing.quote}-SWAP"


def contract_value(listing: Listing) -> Decimal:
    """Base per contract; a lot, a tenth of one, is the listing's step."""
    return listing.step / LOT


def _paged(key: str, rows: Callable[[Params, int], Iterable[dict[str, Any]]]) -> Route:
    """A listing, the newest first, from after a row on."""

    def answer(params: Params, now: int, part: Decimal) -> Any:
        if params.get("instType") != "SWAP":
            raise RestError(200, 51000, "Parameter instType error")
        after = int(params.get("after", 0))
        found = [row for row in rows(params, now) if not after or int(row[key]) < after]
        return found[: min(int(params.get("limit", 100)), 100)]

    return answer


def _fill(trade: Trade, listing: Listing, order: Order) -> dict[str, Any]:
    return {
        "instId": swap(listing),
        "instType": "SWAP",
        "tradeId": str(trade.id),
        "billId": str(trade.id),
        "ordId": str(order.id),
        "clOrdId": order.client_id,
        "side": trade.side.lower(),
        "fillPx": text(trade.price),
        "fillSz": text(trade.quantity / contract_value(listing)),
        "fee": text(-trade.fee),
        "feeCcy": trade.fee_asset,
        "fillPnl": text(trade.realized),
        "execType": "M" if trade.is_maker else "T",
        "ts": str(trade.at_ms),
    }
