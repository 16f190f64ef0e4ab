"""
OKX's USDT-margined perpetual swaps as a venue, in net mode.

Source: OKX API v5, as read in ccxt 4.5.90. Sizes are in contracts, whose value in base the instrument tells. An answer to
a new order only says that it was taken. Stops live in the algo service and become another order when they trigger. A fee
is negative there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from .calling import Caller, complete, finished, outcome, text
from .contract import (
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

QUOTE, KIND = "USDT", "SWAP"
# OKX forgets a request that is older than 30 s; the time-out of the call is in that.
SETTLES_AFTER_S = 35.0
STATUS = {
    "live": OPEN,
    "partially_filled": PARTIALLY_FILLED,
    "filled": FILLED,
    "canceled": CANCELED,
    "mmp_canceled": CANCELED,
}
ALGO_STATUS = {"live": OPEN, "pause": OPEN, "partially_effective": OPEN, "canceled": CANCELED, "order_failed": REJECTED}
RECENT_MS = 2 * 24 * 3_600_000  # older fills than of three days are in the history
PAGE = 100


class OkxSwap:
    """Swaps that settle in USDT; quantities are given and told in base."""

    def __init__(self, caller: Caller, *, leverage: int, margin_mode: str, settles_after_s: float = SETTLES_AFTER_S) -> None:
        self._caller, self._leverage, self._margin_mode = caller, leverage, margin_mode
        self.features = Features(settles_after_s=settles_after_s)
        self._prepared: set[str] = set()
        self._contracts: dict[str, Decimal] = {}

    def place(self, request: OrderRequest) -> OrderReport:
        if not request.reduce_only:
            self._prepare(request.symbol)
        params: dict[str, Any] = {
            "instId": request.symbol,
            "tdMode": self._margin_mode,
            "side": request.side,
            "posSide": "net",
            "sz": text(request.quantity / self._contract(request.symbol)),
            "reduceOnly": request.reduce_only,
        }
        if request.type == STOP_MARKET:
            stop = {"slTriggerPx": text(request.trigger_price), "slOrdPx": "-1", "slTriggerPxType": "last"}
            # ccxt gives every order without a `clOrdId` one of its own; an algo order goes by another name.
            named = {"algoClOrdId": request.client_order_id, "clOrdId": request.client_order_id}
            answer = self._caller.send("privatePostTradeOrderAlgo", {**params, "ordType": "conditional", **stop, **named})
            return OrderReport(request.client_order_id, str(answer["data"][0]["algoId"]), OPEN, Decimal(0), None)
        params |= {"ordType": "limit" if request.type == LIMIT else "market", "clOrdId": request.client_order_id}
        if request.type == LIMIT:
            params["px"] = text(request.price)
        answer = self._caller.send("privatePostTradeOrder", params)
        return outcome(
            lambda: self.order(symbol=request.symbol, client_order_id=request.client_order_id),
            taken=OrderReport(request.client_order_id, str(answer["data"][0]["ordId"]), OPEN, Decimal(0), None),
            ends_at_once=request.type == MARKET,
        )

    def cancel(self, *, symbol: str, client_order_id: str) -> OrderReport:
        try:
            self._caller.send("privatePostTradeCancelOrder", {"instId": symbol, "clOrdId": client_order_id})
        except OrderNotFound:
            with contextlib.suppress(OrderNotFound):  # finished already, or never there: the question below tells which
                algo = self._algo({"algoClOrdId": client_order_id})
                self._caller.send("privatePostTradeCancelAlgos", [{"instId": symbol, "algoId": algo["algoId"]}])
        return finished(lambda: self.order(symbol=symbol, client_order_id=client_order_id))

    def order(self, *, symbol: str, client_order_id: str) -> OrderReport:
        try:
            return self._report(symbol, self._plain({"instId": symbol, "clOrdId": client_order_id}))
        except OrderNotFound:
            return self._algo_report(symbol, self._algo({"algoClOrdId": client_order_id}))

    def trades(self, *, symbol: str, report: OrderReport) -> list[TradeReport]:
        asked = {"instId": symbol, "ordId": report.fills_id}
        return complete(lambda: [found.trade for found in self._fills("privateGetTradeFills", asked)], report)

    def trades_since(self, *, symbol: str, since_ms: int) -> list[ListedTrade]:
        is_recent = self._caller.now_ms() - since_ms < RECENT_MS
        name = "privateGetTradeFills" if is_recent else "privateGetTradeFillsHistory"
        return list(self._fills(name, {"instId": symbol, "begin": since_ms}))

    def open_orders(self) -> list[Resting]:
        plain = self._pages("privateGetTradeOrdersPending", {}, key="ordId")
        algo = self._pages("privateGetTradeOrdersAlgoPending", {"ordType": "conditional"}, key="algoId")
        return [*(self._resting(row) for row in plain), *(self._resting_algo(row) for row in algo)]

    def balance(self) -> Balance:
        details = self._caller.get("privateGetAccountBalance", {"ccy": QUOTE})["data"][0]["details"]
        row = next((row for row in details if row["ccy"] == QUOTE), None)
        if row is None:
            return Balance(QUOTE, Decimal(0), Decimal(0))
        return Balance(QUOTE, Decimal(row["eq"]), Decimal(row.get("availEq") or row.get("availBal") or 0))

    def held(self, *, symbol: str) -> Held:
        return self._holdings({"instId": symbol}).get(symbol, Held(Decimal(0), Decimal(0)))

    def holdings(self) -> Mapping[str, Held]:
        return self._holdings({})

    def _holdings(self, params: Mapping[str, Any]) -> Mapping[str, Held]:
        found = {}
        for row in self._caller.get("privateGetAccountPositions", {"instType": KIND, **params})["data"]:
            if contracts := Decimal(row["pos"] or 0):
                quantity = contracts * self._contract(row["instId"])
                found[row["instId"]] = Held(quantity, abs(quantity) * Decimal(row["avgPx"]))
        return found

    def _contract(self, symbol: str) -> Decimal:
        """How much base one contract is."""
        if symbol not in self._contracts:
            rows = self._caller.get("publicGetPublicInstruments", {"instType": KIND, "instId": symbol})["data"]
            if not rows:
                raise Rejected("unknown_symbol", f"OKX has no swap {symbol}")
            self._contracts[symbol] = Decimal(rows[0]["ctVal"])
        return self._contracts[symbol]

    def _plain(self, params: Mapping[str, str]) -> Mapping[str, Any]:
        return _first(self._caller.get("privateGetTradeOrder", params))

    def _algo(self, params: Mapping[str, str]) -> Mapping[str, Any]:
        return _first(self._caller.get("privateGetTradeOrderAlgo", params))

    def _report(self, symbol: str, row: Mapping[str, Any]) -> OrderReport:
        filled, average = Decimal(row["accFillSz"] or 0) * self._contract(symbol), Decimal(row["avgPx"] or 0)
        status = STATUS.get(row["state"], OPEN)  # one that is new to us is not finished until it says so
        return OrderReport(row["clOrdId"], row["ordId"], status, filled, average or None, row["ordId"])

    def _algo_report(self, symbol: str, row: Mapping[str, Any]) -> OrderReport:
        """A triggered stop lives on as another order; *effective* alone does not say that it has filled."""
        name, number = row["algoClOrdId"], row["algoId"]
        became = next(iter(row.get("ordIdList") or []), row.get("ordId") or "")
        if row["state"] != "effective" or not became:
            return OrderReport(name, number, ALGO_STATUS.get(row["state"], OPEN), Decimal(0), None)
        actual = self._report(symbol, self._plain({"instId": symbol, "ordId": became}))
        return OrderReport(name, number, actual.status, actual.filled, actual.average_price, actual.fills_id)

    def _fills(self, name: str, params: Mapping[str, Any]) -> list[ListedTrade]:
        """Oldest first; OKX lists the newest first, also of those of one millisecond."""
        found = [self._trade(row) for row in self._pages(name, params, key="billId")]
        found.reverse()
        return sorted(found, key=lambda one: one.trade.at_ms)

    def _trade(self, row: Mapping[str, Any]) -> ListedTrade:
        trade = TradeReport(
            trade_id=f"{row['instId']}-{row['tradeId']}",  # ids are unique within an instrument only
            price=Decimal(row["fillPx"]),
            quantity=Decimal(row["fillSz"]) * self._contract(row["instId"]),
            fee=-Decimal(row["fee"]),
            fee_currency=row["feeCcy"],
            at_ms=int(row["ts"]),
            realized=Decimal(row.get("fillPnl") or 0),
        )
        return ListedTrade(row["ordId"], row["side"], trade)

    def _resting(self, row: Mapping[str, Any]) -> Resting:
        left = (Decimal(row["sz"]) - Decimal(row["accFillSz"] or 0)) * self._contract(row["instId"])
        price = Decimal(row["px"] or 0) or None
        return Resting(row["clOrdId"], row["ordId"], row["instId"], row["side"], row["ordType"], left, price)

    def _resting_algo(self, row: Mapping[str, Any]) -> Resting:
        size = Decimal(row["sz"]) * self._contract(row["instId"])
        trigger = Decimal(row.get("slTriggerPx") or row.get("tpTriggerPx") or 0) or None
        return Resting(row["algoClOrdId"], row["algoId"], row["instId"], row["side"], STOP_MARKET, size, trigger)

    def _pages(self, name: str, params: Mapping[str, Any], *, key: str) -> Iterator[Mapping[str, Any]]:
        """Rows of a listing, the newest first, page by page; `key` is what its pages go by."""
        after: dict[str, str] = {}
        while True:
            rows = self._caller.get(name, {"instType": KIND, "limit": PAGE, **params, **after})["data"]
            yield from rows
            if len(rows) < PAGE:
                return
            after = {"after": rows[-1][key]}

    def _prepare(self, symbol: str) -> None:
        """Check and set what the account's row says, before the first order of a symbol that opens something."""
        if symbol in self._prepared:
            return
        if self._caller.get("privateGetAccountConfig", {})["data"][0]["posMode"] != "net_mode":
            raise Rejected("hedge_mode", "the account is in long/short mode; this desk trades in net mode")
        leverage = {"instId": symbol, "lever": str(self._leverage), "mgnMode": self._margin_mode}
        self._caller.send("privatePostAccountSetLeverage", leverage)
        self._prepared.add(symbol)


def _first(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """:raises OrderNotFound: for an empty answer"""
    if not answer["data"]:
        raise OrderNotFound("no such order")
    return dict(answer["data"][0])
