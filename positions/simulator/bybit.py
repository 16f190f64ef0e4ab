"""
Bybit's endpoints over the books: USDT perpetuals in a unified account, in one-way mode. Pure.

Source: bybit-exchange/docs, v5 (2026-07-24), and the error list in ccxt 4.5.90. New orders and cancellations are only
acknowledged; `realtime` lists what is open and `history` what is finished; a conditional order stays the same order when
it triggers; an order link id is taken for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from monitoring.simulator.market import Listing
from monitoring.simulator.rest import RestError

from .books import BUY, CANCELED, EXPIRED, FILLED, NEW, PARTIALLY_FILLED, SELL, ZERO, Holding, Order, Trade
from .endpoints import Endpoints, Params, Route, number
from .rendering import text

SMALLEST_NOTIONAL = Decimal(5)
RISES, FALLS = 1, 2
STATUS = {NEW: "New", PARTIALLY_FILLED: "PartiallyFilled", FILLED: "Filled", CANCELED: "Cancelled", EXPIRED: "Cancelled"}
PAGES = {"/v5/order/realtime": 50, "/v5/order/history": 50, "/v5/execution/list": 100, "/v5/position/list": 200}


class BybitApi(Endpoints):
    """One account."""

    errors = {
        "would_trigger": (110093, "expect Falling, but trigger_price >= current"),
        "funds": (110007, "ab not enough for new order"),
        "reduce_only": (110017, "current position is zero, cannot fix reduce-only order qty"),
        "unknown_order": (110001, "order not exists or too late to cancel"),
        "duplicate": (110072, "OrderLinkedID is duplicate"),
    }
    refused_status = 200
    margin_mode = "ISOLATED_MARGIN"

    def routes(self) -> dict[tuple[str, str], Route]:
        return {
            ("POST", "/v5/order/create"): self._create,
            ("POST", "/v5/order/cancel"): self._cancel,
            ("GET", "/v5/order/realtime"): self._listed("/v5/order/realtime", self._realtime),
            ("GET", "/v5/order/history"): self._listed("/v5/order/history", self._history),
            ("GET", "/v5/execution/list"): self._listed("/v5/execution/list", self._executions),
            ("GET", "/v5/position/list"): self._listed("/v5/position/list", self._positions),
            ("GET", "/v5/account/wallet-balance"): self._wallet,
            ("GET", "/v5/account/info"): lambda p, now, part: {"marginMode": self.margin_mode, "unifiedMarginStatus": 6},
            ("POST", "/v5/position/set-leverage"): self._leverage,
        }

    def _create(self, params: Params, now: int, part: Decimal) -> Any:
        listing, order = self._listing(params), self._order(params)
        worth = order.quantity * (order.price or order.trigger or self.book.prices.price(symbol=order.symbol, at_ms=now))
        if worth < SMALLEST_NOTIONAL and not order.reduce_only:
            raise RestError(200, 110094, "Order does not meet minimum order value 5USDT")
        if order.trigger is not None:
            is_rising = int(params.get("triggerDirection", 0)) == RISES
            price = self.book.prices.price(symbol=listing.symbol, at_ms=now)
            if is_rising and order.trigger <= price:
                raise RestError(200, 110092, f"expect Rising, but trigger_price[{order.trigger}] <= current[{price}]")
        if self.book.find("", client_id=order.client_id):
            raise RestError(200, *self.errors["duplicate"])
        placed = self.place(order, now=now, part=part)
        return {"orderId": _id(placed), "orderLinkId": placed.client_id}

    def _order(self, params: Params) -> Order:
        listing, side = self._listing(params), {"Buy": BUY, "Sell": SELL}.get(str(params.get("side")))
        kind, link = params.get("orderType"), str(params.get("orderLinkId", ""))
        if side is None or kind not in ("Market", "Limit") or not 0 < len(link) <= 36 or params.get("positionIdx", 0) != 0:
            raise RestError(200, 10001, "params error")
        quantity = number(params, "qty", error=RestError(200, 10001, "Qty invalid"))
        if quantity <= 0 or quantity % listing.step:
            raise RestError(200, 10001, "Qty invalid")
        order = Order(0, link, listing.symbol, side, "LIMIT" if kind == "Limit" else "MARKET", quantity)
        order.reduce_only = params.get("reduceOnly") is True
        if kind == "Limit":
            order.price = self._price(params, "price", listing)
        if params.get("triggerPrice"):
            order.trigger, order.type = self._price(params, "triggerPrice", listing), "STOP"
        return order

    def _cancel(self, params: Params, now: int, part: Decimal) -> Any:
        found = self.book.find(self._listing(params).symbol, client_id=str(params.get("orderLinkId", "")))
        if found is None:
            raise RestError(200, *self.errors["unknown_order"])
        self.cancel(found, now=now)
        return {"orderId": _id(found), "orderLinkId": found.client_id}

    def _realtime(self, params: Params, now: int) -> Iterable[Any]:
        return (_order(order) for order in self._orders(params) if order.is_open)

    def _history(self, params: Params, now: int) -> Iterable[Any]:
        return (_order(order) for order in self._orders(params) if not order.is_open)

    def _orders(self, params: Params) -> list[Order]:
        """The newest first, of the symbol and the id that are asked for."""
        wanted = {"symbol": params.get("symbol"), "client_id": params.get("orderLinkId")}
        return [
            order
            for order in reversed(self.book.orders.values())
            if all(getattr(order, name) == value for name, value in wanted.items() if value)
        ]

    def _executions(self, params: Params, now: int) -> Iterable[Any]:
        since, until = int(params.get("startTime", 0)), int(params.get("endTime", now))
        trades = [trade for found in self.book.trades.values() for trade in found]
        for trade in sorted(trades, key=lambda trade: -trade.id):
            order = self.book.orders[trade.order_id]
            fits = params.get("symbol") in (None, trade.symbol) and params.get("orderId") in (None, _id(order))
            if fits and since <= trade.at_ms <= until:
                yield _execution(trade, order)

    def _positions(self, params: Params, now: int) -> Iterable[Any]:
        symbol = params.get("symbol")
        for name, held in self.book.holdings.items():
            if symbol == name or (not symbol and held.amount):
                yield _position(name, held, self.book.unrealized(now_ms=now, symbol=name))

    def _wallet(self, params: Params, now: int, part: Decimal) -> Any:
        amount, profit = self.book.wallet.get("USDT", ZERO), self.book.unrealized(now_ms=now)
        bound = amount + min(ZERO, profit) - self.book.available("USDT", now_ms=now)
        coin = {
            "coin": "USDT", "equity": text(amount + profit), "walletBalance": text(amount), "unrealisedPnl": text(profit),
            "totalPositionIM": text(bound), "totalOrderIM": "0",
        }  # fmt: skip
        # Isolated margin has no available balance of the whole account.
        return {"list": [{"accountType": "UNIFIED", "totalAvailableBalance": "", "coin": [coin]}]}

    def _leverage(self, params: Params, now: int, part: Decimal) -> Any:
        symbol, leverage = self._listing(params).symbol, int(params.get("buyLeverage", "0"))
        held = self.book.holdings.setdefault(symbol, Holding(leverage=10))
        if not 1 <= leverage <= 100:
            raise RestError(200, 110013, "cannot set leverage due to risk limit")
        if held.leverage == leverage:
            raise RestError(200, 110043, "leverage not modified")
        held.leverage = leverage
        return {}

    def _listed(self, path: str, rows: Callable[[Params, int], Iterable[Any]]) -> Route:
        """A listing by pages, whose cursor is a place in it."""

        def answer(params: Params, now: int, part: Decimal) -> Any:
            self._check_category(params)
            found, begin = list(rows(params, now)), int(params.get("cursor", 0))
            end = begin + min(int(params.get("limit", 20)), PAGES[path])
            more = {"nextPageCursor": str(end) if end < len(found) else ""}
            return {"category": "linear", "list": found[begin:end], **more}

        return answer

    def _listing(self, params: Params) -> Listing:
        self._check_category(params)
        found = self.book.listings.get(str(params.get("symbol", "")))
        if found is None:
            raise RestError(200, 10001, "params error: symbol invalid")
        return found

    def _check_category(self, params: Params) -> None:
        if params.get("category") != "linear":
            raise RestError(200, 10001, "Illegal category")

    def _price(self, params: Params, name: str, listing: Listing) -> Decimal:
        found = number(params, name, error=RestError(200, 10001, "Price invalid"))
        if found <= 0 or found % listing.tick:
            raise RestError(200, 10001, "Price invalid")
        return found


def _id(order: Order) -> str:
    return f"{order.id:08d}-0000-4000-8000-000000000000"


def _order(order: Order) -> dict[str, Any]:
    status = STATUS[order.status]
    if order.trigger is not None and not order.filled:
        status = {NEW: "Untriggered", CANCELED: "Deactivated"}.get(order.status, status)
    if order.status in (CANCELED, EXPIRED) and order.filled:
        status = "PartiallyFilledCanceled"
    return {
        "orderId": _id(order),
        "orderLinkId": order.client_id,
        "symbol": order.symbol,
        "side": order.side.capitalize(),
        "orderType": "Limit" if order.type == "LIMIT" else "Market",
        "orderStatus": status,
        "qty": text(order.quantity),
        "price": text(order.price or ZERO),
        "triggerPrice": text(order.trigger) if order.trigger is not None else "",
        "cumExecQty": text(order.filled),
        "cumExecValue": text(order.quote),
        "avgPrice": text(order.quote / order.filled) if order.filled else "",
        "reduceOnly": order.reduce_only,
        "positionIdx": 0,
        "createdTime": str(order.created_ms),
        "updatedTime": str(order.updated_ms),
    }


def _execution(trade: Trade, order: Order) -> dict[str, Any]:
    return {
        "symbol": trade.symbol,
        "execId": f"{trade.id:08d}-0000-5000-8000-000000000000",
        "orderId": _id(order),
        "orderLinkId": order.client_id,
        "side": trade.side.capitalize(),
        "execPrice": text(trade.price),
        "execQty": text(trade.quantity),
        "execFee": text(trade.fee),
        "feeCurrency": "",
        "execType": "Trade",
        "execTime": str(trade.at_ms),
        "isMaker": trade.is_maker,
    }


def _position(symbol: str, held: Holding, unrealized: Decimal) -> dict[str, Any]:
    side = "Buy" if held.amount > 0 else "Sell" if held.amount < 0 else ""
    return {
        "symbol": symbol,
        "side": side,
        "size": text(abs(held.amount)),
        "avgPrice": text(held.entry_price),
        "positionValue": text(held.cost),
        "leverage": str(held.leverage),
        "positionIdx": 0,
        "unrealisedPnl": text(unrealized),
    }
