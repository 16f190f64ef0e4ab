"""
Binance's signed endpoints over the books, as spot and USD-M futures write them. Pure.

Sources: binance-spot-api-docs, rest-api.md and errors.md (2026-07-21); developers.binance.com, USD-M futures, with
conditional orders in the algo service (since 2025-12-09) and no `avgPrice` in the answer to a new order.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from monitoring.simulator.market import Listing
from monitoring.simulator.rest import RestError

from . import rendering
from .books import NEW, SELL, TRIGGERED, ZERO, Book, Holding, Order, Trade
from .endpoints import Endpoints, Params, Route, number

SMALLEST_NOTIONAL = Decimal(5)
SPOT_TYPES = ("MARKET", "LIMIT", "STOP_LOSS")
CONDITIONAL_TYPES = ("STOP_MARKET", "TAKE_PROFIT_MARKET")
SPOT_ERRORS = {
    "duplicate": (-2010, "Duplicate order sent."),
    "would_trigger": (-2010, "Order would trigger immediately."),
    "funds": (-2010, "Account has insufficient balance for requested action."),
    "unknown_order": (-2011, "Unknown order sent."),
}
FUTURES_ERRORS = {
    "duplicate": (-4116, "ClientOrderId is duplicated."),
    "would_trigger": (-2021, "Order would immediately trigger."),
    "funds": (-2019, "Margin is insufficient."),
    "reduce_only": (-2022, "ReduceOnly Order is rejected."),
    "unknown_order": (-2011, "Unknown order sent."),
}


class BinanceApi(Endpoints):
    """The endpoints of one account at one venue: spot or futures, as its book is."""

    def __init__(self, book: Book) -> None:
        self.errors = FUTURES_ERRORS if book.is_futures else SPOT_ERRORS
        super().__init__(book)

    def routes(self) -> dict[tuple[str, str], Route]:
        return self._futures_routes() if self.book.is_futures else self._spot_routes()

    def _futures_routes(self) -> dict[tuple[str, str], Route]:
        return {
            ("POST", "/fapi/v1/order"): self._futures_order,
            ("POST", "/fapi/v1/algoOrder"): self._algo_order,
            ("GET", "/fapi/v1/order"): lambda p, now, part: rendering.futures_order(self._known(p)),
            ("GET", "/fapi/v1/algoOrder"): lambda p, now, part: self._algo(self._known_algo(p)),
            ("DELETE", "/fapi/v1/order"): lambda p, now, part: rendering.futures_order(self.cancel(self._known(p, -2011), now=now)),
            ("DELETE", "/fapi/v1/algoOrder"): self._cancel_algo,
            ("GET", "/fapi/v1/openOrders"): lambda p, now, part: [rendering.futures_order(order) for order in self._open(p)],
            ("GET", "/fapi/v1/openAlgoOrders"): lambda p, now, part: [self._algo(order) for order in self._open(p, is_conditional=True)],
            ("GET", "/fapi/v1/userTrades"): self._user_trades,
            ("GET", "/fapi/v3/positionRisk"): self._position_risk,
            ("GET", "/fapi/v3/account"): self._futures_account,
            ("POST", "/fapi/v1/leverage"): self._leverage,
            ("POST", "/fapi/v1/marginType"): lambda p, now, part: {"code": 200, "msg": "success"},
            ("GET", "/fapi/v1/positionSide/dual"): lambda p, now, part: {"dualSidePosition": False},
        }

    def _spot_routes(self) -> dict[tuple[str, str], Route]:
        return {
            ("POST", "/api/v3/order"): self._spot_order,
            ("GET", "/api/v3/order"): lambda p, now, part: rendering.spot_order(self._known(p)),
            ("DELETE", "/api/v3/order"): lambda p, now, part: rendering.spot_order(self.cancel(self._known(p, -2011), now=now)),
            ("GET", "/api/v3/openOrders"): lambda p, now, part: [rendering.spot_order(order) for order in self._open(p)],
            ("GET", "/api/v3/myTrades"): self._my_trades,
            ("GET", "/api/v3/account"): self._spot_account,
        }

    def _spot_order(self, params: Params, now: int, part: Decimal) -> Any:
        listing, kind = self._listing(params), params.get("type", "")
        if kind not in SPOT_TYPES:
            raise RestError(400, -1116, "Invalid orderType.")
        order = self._order(params, listing, kind)
        order.trigger = self._price(params, "stopPrice", listing) if kind == "STOP_LOSS" else None
        placed = self._placed(order, now, part)
        is_full = kind != "STOP_LOSS"
        fills = [rendering.spot_fill(trade) for trade in self.book.trades[placed.id]]
        return {**rendering.spot_order(placed), "transactTime": now, **({"fills": fills} if is_full else {})}

    def _futures_order(self, params: Params, now: int, part: Decimal) -> Any:
        listing, kind = self._listing(params), params.get("type", "")
        if kind in (*CONDITIONAL_TYPES, "STOP", "TAKE_PROFIT", "TRAILING_STOP_MARKET"):
            raise RestError(400, -4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.")
        if kind not in ("MARKET", "LIMIT"):
            raise RestError(400, -1116, "Invalid orderType.")
        order = self._order(params, listing, kind)
        order.reduce_only = params.get("reduceOnly") == "true"
        placed = self._placed(order, now, part)
        body = rendering.futures_order(placed)
        if params.get("newOrderRespType", "ACK") != "RESULT":
            body |= {"status": NEW, "executedQty": "0", "cumQty": "0"}
        return {name: value for name, value in body.items() if name not in ("avgPrice", "cumQuote")}

    def _algo_order(self, params: Params, now: int, part: Decimal) -> Any:
        listing, kind = self._listing(params), params.get("type", "")
        if params.get("algoType") != "CONDITIONAL" or kind not in CONDITIONAL_TYPES:
            raise RestError(400, -1102, "Mandatory parameter 'algoType' was not sent, was empty/null, or malformed.")
        order = self._order({**params, "newClientOrderId": params.get("clientAlgoId", "")}, listing, kind)
        order.trigger, order.is_conditional = self._price(params, "triggerPrice", listing), True
        order.reduce_only = params.get("reduceOnly") == "true"
        return self._algo(self._placed(order, now, part))

    def _cancel_algo(self, params: Params, now: int, part: Decimal) -> Any:
        order = self.cancel(self._known_algo(params, -2011), now=now)
        return {"algoId": order.id, "clientAlgoId": order.client_id, "code": "200", "msg": "success"}

    def _leverage(self, params: Params, now: int, part: Decimal) -> Any:
        symbol, leverage = self._listing(params).symbol, int(params.get("leverage", "0"))
        if not 1 <= leverage <= 125:
            raise RestError(400, -4028, f"Leverage {leverage} is not valid")
        self.book.holdings.setdefault(symbol, Holding()).leverage = leverage
        return {"symbol": symbol, "leverage": leverage, "maxNotionalValue": "1000000"}

    def _order(self, params: Params, listing: Listing, kind: str) -> Order:
        side = params.get("side", "")
        if side not in ("BUY", SELL):
            raise RestError(400, -1117, "Invalid side.")
        client_id = params.get("newClientOrderId", "")
        if not client_id or len(client_id) > 36:
            raise RestError(400, -1100, "Illegal characters found in parameter 'newClientOrderId'.")
        quantity = _decimal(params, "quantity")
        price = self._price(params, "price", listing) if kind == "LIMIT" else None
        if quantity <= 0 or quantity % listing.step:
            if self.book.is_futures:
                raise RestError(400, -1111, "Precision is over the maximum defined for this asset.")
            raise RestError(400, -1013, "Filter failure: LOT_SIZE")
        return Order(0, client_id, listing.symbol, side, kind, quantity, price)

    def _placed(self, order: Order, now: int, part: Decimal) -> Order:
        worth = order.quantity * (order.price or order.trigger or self.book.prices.price(symbol=order.symbol, at_ms=now))
        if worth < SMALLEST_NOTIONAL and not order.reduce_only:
            if self.book.is_futures:
                raise RestError(400, -4164, "Order's notional must be no smaller than 5 (unless you choose reduce only).")
            raise RestError(400, -1013, "Filter failure: NOTIONAL")
        return self.place(order, now=now, part=part)

    def _known(self, params: Params, code: int = -2013) -> Order:
        number = params.get("orderId", "")
        found = self.book.find(
            self._listing(params).symbol, client_id=params.get("origClientOrderId", ""), order_id=int(number) if number else 0
        )
        return _there(found, code)

    def _known_algo(self, params: Params, code: int = -2013) -> Order:
        number = params.get("algoId", "")
        found = self.book.find("", client_id=params.get("clientAlgoId", ""), order_id=int(number) if number else 0, is_conditional=True)
        return _there(found, code)

    def _open(self, params: Params, *, is_conditional: bool = False) -> list[Order]:
        return [order for order in self.book.open_orders(params.get("symbol", "")) if order.is_conditional == is_conditional]

    def _algo(self, order: Order) -> dict[str, Any]:
        actual = self.book.orders.get(order.actual_id)
        status = {TRIGGERED: "FINISHED" if actual and not actual.is_open else TRIGGERED}.get(order.status, order.status)
        body = {
            "algoId": order.id,
            "clientAlgoId": order.client_id,
            "algoType": "CONDITIONAL",
            "orderType": order.type,
            "symbol": order.symbol,
            "side": order.side,
            "positionSide": "BOTH",
            "timeInForce": "GTC",
            "quantity": rendering.text(order.quantity),
            "algoStatus": status,
            "triggerPrice": rendering.text(order.trigger or ZERO),
            "price": "0",
            "workingType": "CONTRACT_PRICE",
            "closePosition": False,
            "priceProtect": False,
            "reduceOnly": order.reduce_only,
            "createTime": order.created_ms,
            "updateTime": order.updated_ms,
            "triggerTime": order.updated_ms if actual else 0,
            "goodTillDate": 0,
        }
        if actual:
            average = actual.quote / actual.filled if actual.filled else ZERO
            body |= {
                "actualOrderId": str(actual.id),
                "actualPrice": rendering.text(average),
                "actualQty": rendering.text(actual.filled),
                "actualType": "MARKET",
            }
        return body

    def _user_trades(self, params: Params, now: int, part: Decimal) -> Any:
        return [rendering.futures_trade(trade) for trade in self._trades(params)]

    def _my_trades(self, params: Params, now: int, part: Decimal) -> Any:
        return [rendering.spot_trade(trade) for trade in self._trades(params)]

    def _trades(self, params: Params) -> list[Trade]:
        symbol, number = self._listing(params).symbol, params.get("orderId", "")
        of_orders = [self.book.trades[int(number)]] if number else list(self.book.trades.values())
        since = int(params.get("startTime", "0"))
        fitting = (trade for trades in of_orders for trade in trades if trade.symbol == symbol and trade.at_ms >= since)
        found = sorted(fitting, key=lambda trade: trade.id)
        return found[-int(params.get("limit", "500")) :]

    def _position_risk(self, params: Params, now: int, part: Decimal) -> Any:
        symbol = params.get("symbol", "")
        resting = {order.symbol for order in self.book.open_orders()}
        names = [name for name, held in self.book.holdings.items() if (held.amount or name in resting) and symbol in ("", name)]
        return [rendering.position(self.book, name, now) for name in names]

    def _futures_account(self, params: Params, now: int, part: Decimal) -> Any:
        assets = [
            {
                "asset": asset,
                "walletBalance": rendering.text(amount),
                "unrealizedProfit": rendering.text(self.book.unrealized(now_ms=now)),
                "marginBalance": rendering.text(amount + self.book.unrealized(now_ms=now)),
                "availableBalance": rendering.text(max(ZERO, self.book.available(asset, now_ms=now))),
                "updateTime": now,
            }
            for asset, amount in self.book.wallet.items()
        ]
        return {"assets": assets, "positions": self._position_risk({}, now, part)}

    def _spot_account(self, params: Params, now: int, part: Decimal) -> Any:
        balances = [
            {"asset": asset, "free": rendering.text(amount - self.book.locked(asset)), "locked": rendering.text(self.book.locked(asset))}
            for asset, amount in self.book.wallet.items()
        ]
        return {"canTrade": True, "accountType": "SPOT", "balances": balances, "permissions": ["SPOT"], "updateTime": now}

    def _listing(self, params: Params) -> Listing:
        found = self.book.listings.get(params.get("symbol", ""))
        if found is None:
            raise RestError(400, -1121, "Invalid symbol.")
        return found

    def _price(self, params: Params, name: str, listing: Listing) -> Decimal:
        price = _decimal(params, name)
        if price <= 0 or price % listing.tick:
            raise RestError(400, -1013 if not self.book.is_futures else -4014, "Filter failure: PRICE_FILTER")
        return price


def _decimal(params: Params, name: str) -> Decimal:
    if name not in params:
        raise RestError(400, -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return number(params, name, error=RestError(400, -1100, f"Illegal characters found in parameter '{name}'."))


def _there(order: Order | None, code: int) -> Order:
    if order is None:
        raise RestError(400, code, "Order does not exist." if code == -2013 else "Unknown order sent.")
    return order
