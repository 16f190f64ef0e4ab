"""
Bybit's USDT perpetuals as a venue, in a unified account in one-way mode.

Source: bybit-exchange/docs, v5 (2026-07-24). An answer to a new order or a cancellation only says that it was taken: what
became of it is asked. Open orders are listed by `realtime`, finished ones by `history`. An order link id is taken for
ever. A stop stays the same order when it triggers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from .bybit_client import NOT_MODIFIED
from .calling import Caller, complete, finished, outcome, text
from .contract import (
    BUY,
    CANCELED,
    FILLED,
    LIMIT,
    MARKET,
    OPEN,
    PARTIALLY_FILLED,
    REJECTED,
    STOP_MARKET,
    Balance,
    Features,
    Held,
    ListedTrade,
    OrderNotFound,
    OrderReport,
    OrderRequest,
    Rejected,
    Resting,
    TradeReport,
)

QUOTE, CATEGORY = "USDT", "linear"
# The window of a request (10 s), the time-out of the call (10 s), and a margin until history has an order.
SETTLES_AFTER_S = 25.0
STATUS = {
    "New": OPEN,
    "Created": OPEN,
    "Untriggered": OPEN,
    "Triggered": OPEN,
    "Active": OPEN,
    "PartiallyFilled": PARTIALLY_FILLED,
    "Filled": FILLED,
    "PartiallyFilledCanceled": CANCELED,
    "Cancelled": CANCELED,
    "Deactivated": CANCELED,
    "Rejected": REJECTED,
}
RISES, FALLS = 1, 2
MARGIN_MODES = {"ISOLATED_MARGIN": "isolated", "REGULAR_MARGIN": "cross"}
TRADED = {"Trade", "AdlTrade", "BustTrade", "Settle", "BlockTrade"}  # other executions are fees and funding
WEEK_MS = 7 * 24 * 3_600_000  # the longest span of one question


class BybitLinear:
    """Linear perpetuals that settle in USDT; quantities are in base."""

    def __init__(self, caller: Caller, *, leverage: int, margin_mode: str, settles_after_s: float = SETTLES_AFTER_S) -> None:
        self._caller, self._leverage, self._margin_mode = caller, leverage, margin_mode
        self.features = Features(settles_after_s=settles_after_s)
        self._prepared: set[str] = set()

    def place(self, request: OrderRequest) -> OrderReport:
        if not request.reduce_only:
            self._prepare(request.symbol)
        params: dict[str, Any] = {
            "category": CATEGORY,
            "symbol": request.symbol,
            "side": request.side.capitalize(),
            "orderType": "Limit" if request.type == LIMIT else "Market",
            "qty": text(request.quantity),
            "orderLinkId": request.client_order_id,
            "reduceOnly": request.reduce_only,
            "positionIdx": 0,
        }
        if request.type == LIMIT:
            params |= {"price": text(request.price), "timeInForce": "GTC"}
        if request.type == STOP_MARKET:
            direction = RISES if request.side == BUY else FALLS
            params |= {"triggerPrice": text(request.trigger_price), "triggerDirection": direction, "triggerBy": "LastPrice"}
        answer = self._caller.send("privatePostV5OrderCreate", params)
        return outcome(
            lambda: self.order(symbol=request.symbol, client_order_id=request.client_order_id),
            taken=OrderReport(request.client_order_id, str(answer["result"]["orderId"]), OPEN, Decimal(0), None),
            ends_at_once=request.type == MARKET,
        )

    def cancel(self, *, symbol: str, client_order_id: str) -> OrderReport:
        with contextlib.suppress(OrderNotFound):  # finished already, or never there: the question below tells which
            self._caller.send("privatePostV5OrderCancel", {"category": CATEGORY, "symbol": symbol, "orderLinkId": client_order_id})
        return finished(lambda: self.order(symbol=symbol, client_order_id=client_order_id))

    def order(self, *, symbol: str, client_order_id: str) -> OrderReport:
        named = {"category": CATEGORY, "symbol": symbol, "orderLinkId": client_order_id}
        for name in ("privateGetV5OrderRealtime", "privateGetV5OrderHistory"):  # one that ends in between is in the second
            if rows := self._caller.get(name, named)["result"]["list"]:
                return _report(rows[0])
        raise OrderNotFound(f"no order {client_order_id}")

    def trades(self, *, symbol: str, report: OrderReport) -> list[TradeReport]:
        asked = {"symbol": symbol, "orderId": report.fills_id}
        return complete(lambda: [found.trade for found in self._executions(asked)], report)

    def trades_since(self, *, symbol: str, since_ms: int) -> list[ListedTrade]:
        found: list[ListedTrade] = []
        now_ms = self._caller.now_ms()
        while since_ms <= now_ms:
            until_ms = since_ms + WEEK_MS
            found += self._executions({"symbol": symbol, "startTime": since_ms, "endTime": min(until_ms, now_ms)})
            since_ms = until_ms + 1
        return found

    def open_orders(self) -> list[Resting]:
        rows = self._pages("privateGetV5OrderRealtime", {"settleCoin": QUOTE, "limit": 50})
        return [_resting(row) for row in rows if STATUS.get(row["orderStatus"], OPEN) in (OPEN, PARTIALLY_FILLED)]

    def balance(self) -> Balance:
        answer = self._caller.get("privateGetV5AccountWalletBalance", {"accountType": "UNIFIED", "coin": QUOTE})
        account: Mapping[str, Any] = next(iter(answer["result"]["list"]), {})
        coin = next((row for row in account.get("coin", []) if row["coin"] == QUOTE), None)
        if coin is None:
            return Balance(QUOTE, Decimal(0), Decimal(0))
        total = Decimal(coin["equity"])
        # With isolated margin nothing is told for the whole account; what positions and orders bind is told for the coin.
        bound = sum((Decimal(coin.get(name) or 0) for name in ("totalPositionIM", "totalOrderIM")), Decimal(0))
        whole = account.get("totalAvailableBalance")
        return Balance(QUOTE, total, Decimal(whole) if whole else max(Decimal(0), Decimal(coin["walletBalance"]) - bound))

    def held(self, *, symbol: str) -> Held:
        return self._holdings({"symbol": symbol}).get(symbol, Held(Decimal(0), Decimal(0)))

    def holdings(self) -> Mapping[str, Held]:
        return self._holdings({"settleCoin": QUOTE, "limit": 200})

    def _holdings(self, params: Mapping[str, Any]) -> Mapping[str, Held]:
        found = {}
        for row in self._pages("privateGetV5PositionList", params):
            if size := Decimal(row["size"] or 0):
                found[row["symbol"]] = Held(size if row["side"] == "Buy" else -size, size * Decimal(row["avgPrice"]))
        return found

    def _executions(self, params: Mapping[str, Any]) -> list[ListedTrade]:
        """Oldest first; Bybit lists the newest first, also of those of one millisecond."""
        rows = [row for row in self._pages("privateGetV5ExecutionList", {**params, "limit": 100}) if row["execType"] in TRADED]
        return sorted((_trade(row) for row in reversed(rows)), key=lambda found: found.trade.at_ms)

    def _pages(self, name: str, params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        cursor = ""
        while True:
            result = self._caller.get(name, {"category": CATEGORY, **params, **({"cursor": cursor} if cursor else {})})["result"]
            yield from result["list"]
            cursor = result.get("nextPageCursor") or ""
            if not cursor or not result["list"]:
                return

    def _prepare(self, symbol: str) -> None:
        """Check and set what the account's row says, before the first order of a symbol that opens something."""
        if symbol in self._prepared:
            return
        mode = str(self._caller.get("privateGetV5AccountInfo", {})["result"]["marginMode"])
        if MARGIN_MODES.get(mode) != self._margin_mode:
            # It is set for the whole account, with all that others may hold there: a person has to.
            raise Rejected("margin_mode", f"the account's margin mode is {mode}, and {self._margin_mode} is wanted")
        leverage = {"category": CATEGORY, "symbol": symbol, "buyLeverage": str(self._leverage), "sellLeverage": str(self._leverage)}
        try:
            self._caller.send("privatePostV5PositionSetLeverage", leverage)
        except Rejected as error:
            if error.code != f"bybit_{NOT_MODIFIED}":
                raise
        self._prepared.add(symbol)


def _report(row: Mapping[str, Any]) -> OrderReport:
    filled, average = Decimal(row["cumExecQty"] or 0), Decimal(row["avgPrice"] or 0)
    status = STATUS.get(row["orderStatus"], OPEN)  # one that is new to us is not finished until it says so
    return OrderReport(row["orderLinkId"], row["orderId"], status, filled, average or None, row["orderId"])


def _trade(row: Mapping[str, Any]) -> ListedTrade:
    trade = TradeReport(
        trade_id=row["execId"],
        price=Decimal(row["execPrice"]),
        quantity=Decimal(row["execQty"]),
        fee=Decimal(row["execFee"]),
        fee_currency=row.get("feeCurrency") or QUOTE,
        at_ms=int(row["execTime"]),
    )
    return ListedTrade(row["orderId"], row["side"].lower(), trade)


def _resting(row: Mapping[str, Any]) -> Resting:
    price = Decimal(row.get("triggerPrice") or 0) or Decimal(row["price"] or 0)
    kind = STOP_MARKET if row["orderStatus"] == "Untriggered" else row["orderType"].lower()
    left = Decimal(row["qty"]) - Decimal(row["cumExecQty"] or 0)
    return Resting(row["orderLinkId"], row["orderId"], row["symbol"], row["side"].lower(), kind, left, price or None)
