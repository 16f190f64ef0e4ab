"""
Outcomes of Polymarket for graphs: the catalogue from Gamma, page by page, earlier prices from the CLOB.

Source: Polymarket's documentation of Gamma and the CLOB, and its clients, as of 2026-11. Lists inside of markets may be JSON inside
a string; numbers may be strings. A category is the slug of a tag, by which Gamma lists events; without one it lists markets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import requests

from monitoring.feed import registry
from workflows.nodes.contract import Catalogue, NodeFailed, Row

MARKET = "polymarket"
PAGE, MOST_PAGES = 100, 10
TIMEOUT_S = (5, 15)
Fidelity = int  # minutes between points


def outcomes(wanted: Catalogue) -> list[Row]:
    """
    Outcomes that fit, the most traded first; each with price, liquidity and volume of its market.

    :raises NodeFailed: if Gamma does not answer, or not as documented
    """
    found: dict[str, Row] = {}
    with requests.Session() as session:
        for category in wanted.categories or ("",):
            for market in _markets(session, category, enough=wanted.limit):
                for row in _rows(market, category):
                    if _fits(row, wanted):
                        found.setdefault(row.symbol, row)
    return sorted(found.values(), key=lambda row: (-row.values["volume"], row.symbol))[: wanted.limit]


def history(*, token: str, start_ms: int, end_ms: int, fidelity: Fidelity) -> list[tuple[int, float]]:
    """
    Prices of a token as (ms, price), oldest first.

    :raises NodeFailed: if the CLOB does not answer, or not as documented
    """
    query = {"market": token, "startTs": start_ms // 1000, "endTs": end_ms // 1000, "fidelity": fidelity}
    with requests.Session() as session:
        body = _get(session, f"{registry.rest_address(MARKET)}/prices-history", query)
    try:
        return sorted((int(point["t"]) * 1000, float(point["p"])) for point in body["history"])
    except (KeyError, TypeError, ValueError) as error:
        raise NodeFailed(f"the prices of Polymarket are not as documented: {error!r}", is_shared=True) from error


def _markets(session: requests.Session, category: str, *, enough: int) -> Iterator[Mapping[str, Any]]:
    """Open markets, the most traded first. The limits of a graph may leave most of them out, so there is a last page."""
    base = registry.rest_address(MARKET, api="catalog")
    query = {"closed": "false", "active": "true", "order": "volume", "ascending": "false", "limit": PAGE}
    if category:
        query["tag_slug"] = category.lower()
    for page in range(MOST_PAGES):
        rows = _get(session, f"{base}/{'events' if category else 'markets'}", {**query, "offset": page * PAGE})
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise NodeFailed("the catalogue of Polymarket is not as documented: a list of objects is needed", is_shared=True)
        for row in rows:
            yield from row.get("markets", ()) if category else (row,)
        if len(rows) < PAGE or (page + 1) * PAGE >= enough * 10:
            return


def _rows(market: Mapping[str, Any], category: str) -> Iterator[Row]:
    try:
        if not market["active"] or market["closed"] or market.get("acceptingOrders") is False:
            return
        tokens, names, prices = (_embedded(market[key]) for key in ("clobTokenIds", "outcomes", "outcomePrices"))
        money = {
            "liquidity": float(market.get("liquidityNum") or market.get("liquidity") or 0),
            "volume": float(market.get("volumeNum") or market.get("volume") or 0),
        }
        for token, name, price in zip(tokens, names, prices, strict=True):
            texts = {"question": str(market["question"])[:300], "outcome": str(name)[:60], "category": category}
            yield Row(MARKET, str(token)[:128], values={"price": float(price), **money}, texts=texts)
    except (KeyError, TypeError, ValueError) as error:
        raise NodeFailed(f"a market of Polymarket is not as documented: {error!r}", is_shared=True) from error


def _fits(row: Row, wanted: Catalogue) -> bool:
    values = row.values
    in_price = wanted.min_price <= values["price"] <= wanted.max_price
    return in_price and values["liquidity"] >= wanted.min_liquidity and values["volume"] >= wanted.min_volume


def _embedded(value: Any) -> Sequence[Any]:
    """A list, or a list written as JSON inside a string."""
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, list):
        raise TypeError("a list is needed")
    return found


def _get(session: requests.Session, url: str, query: Mapping[str, Any]) -> Any:
    try:
        answer = session.get(url, params=dict(query), timeout=TIMEOUT_S)
        answer.raise_for_status()
        return answer.json()
    except (requests.RequestException, ValueError) as error:
        raise NodeFailed(f"Polymarket does not answer: {error}"[:300], is_shared=True) from error
