"""
Binance spot and USD-M futures as venues.

Sources: binance-spot-api-docs, rest-api.md (2026-07-21); developers.binance.com, USD-M futures. A client order id is no
idempotency key there: it is accepted again once the first order has filled. Stops of futures live in the algo service
(since 2025-12-09) and become another order when they trigger. On spot a resting order holds its quantity back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from .calling import Caller, complete, text
from .contract import (
    BUY,
    CANCELED,
    FILLED,
    LIMIT,
    MARKET,
    OPEN,
    PARTIALLY_FILLED,
    REJECTED,
    SELL,
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

QUOTE = "USDT"
# The window of a request (10 s), the exchange's own time-out (10 s), and a margin.
SETTLES_AFTER_S = 25.0
STATUS = {
    "NEW": OPEN,
    "PENDING_NEW": OPEN,
    "PENDING_CANCEL": OPEN,
    "PARTIALLY_FILLED": PARTIALLY_FILLED,
    "FILLED": FILLED,
    "CANCELED": CANCELED,
    "EXPIRED": CANCELED,
    "EXPIRED_IN_MATCH": CANCELED,
    "REJECTED": REJECTED,
}
ALGO_STATUS = {"NEW": OPEN, "TRIGGERING": OPEN, "CANCELED": CANCELED, "EXPIRED": CANCELED, "REJECTED": REJECTED}
SIDES = {BUY: "BUY", SELL: "SELL"}
HEDGE_MODE, SAME_MARGIN = "true", "binance_4046"


class BinanceSpot:
    """A spot account. What it buys it owns, less the fee, which is taken out of what was bought."""

    def __init__(self, caller: Caller, *, held_at_cost: Callable[[], Decimal], settles_after_s: float = SETTLES_AFTER_S) -> None:
        """:param held_at_cost: what our open positions have cost in quote; the wallet does not know"""
        self._caller, self._held_at_cost = caller, held_at_cost
        self.features = Features(settles_after_s=settles_after_s, exits_share=False, owns_wallet=False)

    def place(self, request: OrderRequest) -> OrderReport:
        kinds = {MARKET: "MARKET", LIMIT: "LIMIT", STOP_MARKET: "STOP_LOSS"}
        params = {**_common(request), "type": kinds[request.type], "newClientOrderId": request.client_order_id, "newOrderRespType": "FULL"}
        if request.type == LIMIT:
            params |= {"price": text(request.price), "timeInForce": "GTC"}
        if request.type == STOP_MARKET:
            params["stopPrice"] = text(request.trigger_price)
        answer = self._caller.send("privatePostOrder", params)
        if "status" not in answer:  # a stop is acknowledged only
            return OrderReport(request.client_order_id, str(answer["orderId"]), OPEN, Decimal(0), None, str(answer["orderId"]))
        return _spot_report(answer)

    def cancel(self, *, symbol: str, client_order_id: str) -> OrderReport:
        with contextlib.suppress(OrderNotFound):  # finished already, or never there: the question below tells which
            self._caller.send("privateDeleteOrder", {"symbol": symbol, "origClientOrderId": client_order_id})
        return self.order(symbol=symbol, client_order_id=client_order_id)

    def order(self, *, symbol: str, client_order_id: str) -> OrderReport:
        return _spot_report(self._caller.get("privateGetOrder", {"symbol": symbol, "origClientOrderId": client_order_id}))

    def trades(self, *, symbol: str, report: OrderReport) -> list[TradeReport]:
        return complete(lambda: self._trades(symbol, report), report)

    def trades_since(self, *, symbol: str, since_ms: int) -> list[ListedTrade]:
        return _listed_trades(self._caller.get("privateGetMyTrades", {"symbol": symbol, "startTime": since_ms, "limit": 1000}))

    def open_orders(self) -> list[Resting]:
        return [_resting(row, price=row["stopPrice"]) for row in self._caller.get("privateGetOpenOrders", {})]

    def balance(self) -> Balance:
        row = self._assets().get(QUOTE, {"free": "0", "locked": "0"})
        free = Decimal(row["free"])
        return Balance(QUOTE, free + Decimal(row["locked"]) + self._held_at_cost(), free)

    def held(self, *, symbol: str) -> Held:
        return self.holdings().get(symbol, Held(Decimal(0), None))

    def holdings(self) -> Mapping[str, Held]:
        amounts = {asset: Decimal(row["free"]) + Decimal(row["locked"]) for asset, row in self._assets().items() if asset != QUOTE}
        return {f"{asset}{QUOTE}": Held(amount, None) for asset, amount in amounts.items() if amount}

    def _assets(self) -> Mapping[str, Mapping[str, str]]:
        answer = self._caller.get("privateGetAccount", {"omitZeroBalances": "true"})
        return {row["asset"]: row for row in answer["balances"]}

    def _trades(self, symbol: str, report: OrderReport) -> list[TradeReport]:
        rows = self._caller.get("privateGetMyTrades", {"symbol": symbol, "orderId": report.fills_id})
        return [_trade(row) for row in rows]


class BinanceFutures:
    """A USD-M account in one-way mode."""

    def __init__(self, caller: Caller, *, leverage: int, margin_mode: str, settles_after_s: float = SETTLES_AFTER_S) -> None:
        self._caller, self._leverage, self._margin_mode = caller, leverage, margin_mode
        self.features = Features(settles_after_s=settles_after_s)
        self._prepared: set[str] = set()

    def place(self, request: OrderRequest) -> OrderReport:
        if not request.reduce_only:
            self._prepare(request.symbol)
        params = {**_common(request), "reduceOnly": "true" if request.reduce_only else "false"}
        if request.type == STOP_MARKET:
            conditional = {"algoType": "CONDITIONAL", "type": "STOP_MARKET", "workingType": "CONTRACT_PRICE"}
            params |= {**conditional, "triggerPrice": text(request.trigger_price), "clientAlgoId": request.client_order_id}
            return self._algo_report(self._caller.send("fapiPrivatePostAlgoOrder", params))
        params |= {"type": request.type.upper(), "newClientOrderId": request.client_order_id, "newOrderRespType": "RESULT"}
        if request.type == LIMIT:
            params |= {"price": text(request.price), "timeInForce": "GTC"}
        return _futures_report(self._caller.send("fapiPrivatePostOrder", params))

    def cancel(self, *, symbol: str, client_order_id: str) -> OrderReport:
        for name, params in (
            ("fapiPrivateDeleteAlgoOrder", {"clientAlgoId": client_order_id}),
            ("fapiPrivateDeleteOrder", {"symbol": symbol, "origClientOrderId": client_order_id}),
        ):
            try:
                self._caller.send(name, params)
                break
            except OrderNotFound:
                continue  # in the other service, finished already, or never there: the question below tells which
        return self.order(symbol=symbol, client_order_id=client_order_id)

    def order(self, *, symbol: str, client_order_id: str) -> OrderReport:
        try:
            return _futures_report(self._caller.get("fapiPrivateGetOrder", {"symbol": symbol, "origClientOrderId": client_order_id}))
        except OrderNotFound:
            return self._algo_report(self._caller.get("fapiPrivateGetAlgoOrder", {"clientAlgoId": client_order_id}))

    def trades(self, *, symbol: str, report: OrderReport) -> list[TradeReport]:
        return complete(lambda: self._trades(symbol, report), report)

    def trades_since(self, *, symbol: str, since_ms: int) -> list[ListedTrade]:
        return _listed_trades(self._caller.get("fapiPrivateGetUserTrades", {"symbol": symbol, "startTime": since_ms, "limit": 1000}))

    def open_orders(self) -> list[Resting]:
        plain = self._caller.get("fapiPrivateGetOpenOrders", {})
        algo = self._caller.get("fapiPrivateGetOpenAlgoOrders", {})
        return [*(_resting(row, price=row["price"]) for row in plain), *(_resting_algo(row) for row in algo)]

    def balance(self) -> Balance:
        answer = self._caller.get("fapiPrivateV3GetAccount", {})
        row = next((row for row in answer["assets"] if row["asset"] == QUOTE), None)
        if row is None:
            return Balance(QUOTE, Decimal(0), Decimal(0))
        return Balance(QUOTE, Decimal(row["marginBalance"]), Decimal(row["availableBalance"]))

    def held(self, *, symbol: str) -> Held:
        return self._holdings({"symbol": symbol}).get(symbol, Held(Decimal(0), Decimal(0)))

    def holdings(self) -> Mapping[str, Held]:
        return self._holdings({})

    def _holdings(self, params: Mapping[str, str]) -> Mapping[str, Held]:
        found = {}
        for row in self._caller.get("fapiPrivateV3GetPositionRisk", params):
            amount = Decimal(row["positionAmt"])
            if amount:
                found[row["symbol"]] = Held(amount, abs(amount) * Decimal(row["entryPrice"]))
        return found

    def _trades(self, symbol: str, report: OrderReport) -> list[TradeReport]:
        return [_trade(row) for row in self._caller.get("fapiPrivateGetUserTrades", {"symbol": symbol, "orderId": report.fills_id})]

    def _algo_report(self, row: Mapping[str, Any]) -> OrderReport:
        """A triggered stop lives on as another order; *finished* alone does not say that it has filled."""
        actual, status = str(row.get("actualOrderId") or ""), ALGO_STATUS.get(row["algoStatus"], OPEN)
        if not actual or actual == "0":
            return OrderReport(row["clientAlgoId"], str(row["algoId"]), status, Decimal(0), None)
        became = _futures_report(self._caller.get("fapiPrivateGetOrder", {"symbol": row["symbol"], "orderId": actual}))
        return OrderReport(row["clientAlgoId"], str(row["algoId"]), became.status, became.filled, became.average_price, actual)

    def _prepare(self, symbol: str) -> None:
        """Set what the account's row says, before the first order of a symbol that opens something."""
        if symbol in self._prepared:
            return
        mode = self._caller.get("fapiPrivateGetPositionSideDual", {})
        if str(mode.get("dualSidePosition")).lower() == HEDGE_MODE:
            raise Rejected("hedge_mode", "the account is in hedge mode; this desk trades in one-way mode")
        try:
            margin = {"isolated": "ISOLATED", "cross": "CROSSED"}[self._margin_mode]
            self._caller.send("fapiPrivatePostMarginType", {"symbol": symbol, "marginType": margin})
        except Rejected as error:
            if error.code != SAME_MARGIN:
                raise
        self._caller.send("fapiPrivatePostLeverage", {"symbol": symbol, "leverage": self._leverage})
        self._prepared.add(symbol)


def _common(request: OrderRequest) -> dict[str, str]:
    return {"symbol": request.symbol, "side": SIDES[request.side], "quantity": text(request.quantity)}


def _spot_report(row: Mapping[str, Any]) -> OrderReport:
    filled, quote = Decimal(row["executedQty"]), Decimal(row["cummulativeQuoteQty"])
    number = str(row["orderId"])
    return OrderReport(row["clientOrderId"], number, _status(row["status"]), filled, quote / filled if filled else None, number)


def _futures_report(row: Mapping[str, Any]) -> OrderReport:
    """The answer to a new order has no average price any more (since 2026-07): the fills tell."""
    filled, average = Decimal(row["executedQty"]), Decimal(row.get("avgPrice") or 0)
    number = str(row["orderId"])
    return OrderReport(row["clientOrderId"], number, _status(row["status"]), filled, average or None, number)


def _status(text: str) -> str:
    return STATUS.get(text, OPEN)  # one that is new to us is not finished until it says so


def _trade(row: Mapping[str, Any]) -> TradeReport:
    realized = row.get("realizedPnl")
    return TradeReport(
        trade_id=f"{row['symbol']}-{row['id']}",  # ids are unique within a symbol only
        price=Decimal(row["price"]),
        quantity=Decimal(row["qty"]),
        fee=Decimal(row["commission"]),
        fee_currency=row["commissionAsset"],
        at_ms=int(row["time"]),
        realized=None if realized is None else Decimal(realized),
    )


def _listed_trades(rows: Iterable[Mapping[str, Any]]) -> list[ListedTrade]:
    found = []
    for row in rows:
        is_buy = row["isBuyer"] if "isBuyer" in row else row["buyer"]
        found.append(ListedTrade(str(row["orderId"]), BUY if is_buy else SELL, _trade(row)))
    return found


def _resting(row: Mapping[str, Any], *, price: str) -> Resting:
    shown = Decimal(price) or Decimal(row["price"])
    side, quantity = row["side"].lower(), Decimal(row["origQty"]) - Decimal(row["executedQty"])
    return Resting(row["clientOrderId"], str(row["orderId"]), row["symbol"], side, row["type"].lower(), quantity, shown or None)


def _resting_algo(row: Mapping[str, Any]) -> Resting:
    side, kind = row["side"].lower(), row["orderType"].lower()
    return Resting(
        row["clientAlgoId"], str(row["algoId"]), row["symbol"], side, kind, Decimal(row["quantity"]), Decimal(row["triggerPrice"])
    )
