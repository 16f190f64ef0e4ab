"""Orders, trades and positions as Binance writes them, spot and USD-M futures. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from .books import CANCELED, EXPIRED, FILLED, NEW, PARTIALLY_FILLED, SELL, ZERO, Book, Order, Trade


def spot_order(order: Order) -> dict[str, Any]:
    """`GET /api/v3/order`."""
    return {
        "symbol": order.symbol,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "price": text(order.price or ZERO),
        "origQty": text(order.quantity),
        "executedQty": text(order.filled),
        "origQuoteOrderQty": "0.00000000",
        "cummulativeQuoteQty": text(order.quote),
        "status": order.status,
        "timeInForce": "GTC",
        "type": order.type,
        "side": order.side,
        "stopPrice": text(order.trigger or ZERO),
        "time": order.created_ms,
        "updateTime": order.updated_ms,
        "isWorking": True,
        "workingTime": order.created_ms,
        "selfTradePreventionMode": "NONE",
    }


def spot_fill(trade: Trade) -> dict[str, Any]:
    """One of `fills` in the answer to a new spot order."""
    return {
        "price": text(trade.price),
        "qty": text(trade.quantity),
        "commission": text(trade.fee),
        "commissionAsset": trade.fee_asset,
        "tradeId": trade.id,
    }


def spot_trade(trade: Trade) -> dict[str, Any]:
    """A row of `GET /api/v3/myTrades`."""
    return {
        "symbol": trade.symbol,
        "id": trade.id,
        "orderId": trade.order_id,
        "orderListId": -1,
        "price": text(trade.price),
        "qty": text(trade.quantity),
        "quoteQty": text(trade.price * trade.quantity),
        "commission": text(trade.fee),
        "commissionAsset": trade.fee_asset,
        "time": trade.at_ms,
        "isBuyer": trade.side != SELL,
        "isMaker": trade.is_maker,
        "isBestMatch": True,
    }


def futures_order(order: Order) -> dict[str, Any]:
    """`GET /fapi/v1/order`."""
    average = order.quote / order.filled if order.filled else ZERO
    return {
        "orderId": order.id,
        "symbol": order.symbol,
        "status": order.status if order.status in (NEW, PARTIALLY_FILLED, FILLED, CANCELED, EXPIRED) else NEW,
        "clientOrderId": order.client_id,
        "price": text(order.price or ZERO),
        "avgPrice": text(average),
        "origQty": text(order.quantity),
        "executedQty": text(order.filled),
        "cumQuote": text(order.quote),
        "cumQty": text(order.filled),
        "timeInForce": "GTC",
        "type": order.type,
        "origType": order.type,
        "reduceOnly": order.reduce_only,
        "closePosition": False,
        "side": order.side,
        "positionSide": "BOTH",
        "stopPrice": "0",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "time": order.created_ms,
        "updateTime": order.updated_ms,
    }


def futures_trade(trade: Trade) -> dict[str, Any]:
    """A row of `GET /fapi/v1/userTrades`."""
    return {
        "symbol": trade.symbol,
        "id": trade.id,
        "orderId": trade.order_id,
        "side": trade.side,
        "price": text(trade.price),
        "qty": text(trade.quantity),
        "realizedPnl": text(trade.realized),
        "quoteQty": text(trade.price * trade.quantity),
        "commission": text(trade.fee),
        "commissionAsset": trade.fee_asset,
        "time": trade.at_ms,
        "positionSide": "BOTH",
        "buyer": trade.side != SELL,
        "maker": trade.is_maker,
    }


def position(book: Book, symbol: str, now: int) -> dict[str, Any]:
    """A row of `GET /fapi/v3/positionRisk`."""
    held = book.holdings[symbol]
    mark = book.prices.price(symbol=symbol, at_ms=now)
    return {
        "symbol": symbol,
        "positionSide": "BOTH",
        "positionAmt": text(held.amount),
        "entryPrice": text(held.entry_price),
        "breakEvenPrice": text(held.entry_price),
        "markPrice": text(mark),
        "unRealizedProfit": text(book.unrealized(now_ms=now, symbol=symbol)),
        "liquidationPrice": "0",
        "isolatedMargin": "0",
        "notional": text(held.amount * mark),
        "marginAsset": book.listings[symbol].quote,
        "isolatedWallet": "0",
        "initialMargin": text(held.cost / held.leverage),
        "maintMargin": "0",
        "positionInitialMargin": text(held.cost / held.leverage),
        "openOrderInitialMargin": "0",
        "adl": 2,
        "bidNotional": "0",
        "askNotional": "0",
        "updateTime": now,
    }


def text(number: Decimal) -> str:
    """A decimal as Binance writes it: a plain string."""
    return f"{number:f}"
