"""
What a type of node is, and what runs may do: read candles, ask, raise signals. Pure; `workflows.live` makes it real.

NodeFailed   a node that can't give an output; what does not depend on it goes on
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from monitoring.analyst.custom import Form
from monitoring.indicators import Reading, Window

ROWS, SIGNALS, ANY = "rows", "signals", "any"
Key = tuple[str, str, str]  # market, symbol, interval


class NodeFailed(Exception):
    """A node that can't give an output. Of a shared cause (a provider, the database, a halt) its session is not to blame."""

    def __init__(self, text: str, *, is_shared: bool = False) -> None:
        super().__init__(text)
        self.is_shared = is_shared


class Settings(BaseModel):
    """Settings of a type of node: read strictly, but for keys that nobody knows, which are kept and ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", str_strip_whitespace=True)


class NoSettings(Settings):
    """A node without settings."""


@dataclass(frozen=True)
class Port:
    """A place where edges begin or end. `kind` is what goes through it."""

    name: str
    kind: str = ROWS
    is_required: bool = True
    takes_many: bool = True


@dataclass(frozen=True)
class Row:
    """
    One market at one close, on its way through a graph. `open_time` in ms; None where there is no candle.

    `values` are numbers by field, `before` the same at the close before where they are known, `texts` what was said.
    """

    market: str
    symbol: str
    interval: str = ""
    open_time: int | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    before: Mapping[str, float] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """Which market, symbol and interval it is about."""
        return (self.market, self.symbol, self.interval)

    def having(self, values: Mapping[str, float | None], *, before: Mapping[str, float | None] | None = None) -> Row:
        """The row with further numbers; those that are not known are left out."""
        known = {name: value for name, value in values.items() if value is not None}
        was = {name: value for name, value in (before or {}).items() if value is not None}
        return replace(self, values={**self.values, **known}, before={**self.before, **was})

    def saying(self, texts: Mapping[str, str]) -> Row:
        """The row with further texts."""
        return replace(self, texts={**self.texts, **texts})

    def reading(self, name: str) -> Reading:
        """A field now and at the close before."""
        return Reading(self.values.get(name), self.before.get(name))

    def as_json(self) -> dict[str, Any]:
        """The form in which outputs are kept and shown."""
        return {
            "market": self.market,
            "symbol": self.symbol,
            "interval": self.interval,
            "open_time": self.open_time,
            "values": dict(self.values),
            "before": dict(self.before),
            "texts": dict(self.texts),
        }


@dataclass(frozen=True)
class Raised:
    """A signal that a node raised, or would have raised in a trial; `id` is empty when none was made."""

    symbol: str
    side: str
    id: str = ""
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """The form in which outputs are kept and shown."""
        return vars(self)


Value = Sequence[Row] | Sequence[Raised]
Inputs = Mapping[str, Sequence[Any]]  # by port; of several edges one after the other


@dataclass(frozen=True)
class Start:
    """What a run was started by: a close, or a person. `at_ms` is app time."""

    at_ms: int
    market: str = ""
    interval: str = ""
    open_time: int | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """A signal that a node asks for."""

    trader_id: str
    symbol: str
    side: str
    key: str
    row: Row
    reasons: str


@dataclass(frozen=True)
class Catalogue:
    """Which outcomes of Polymarket are looked at; prices are probabilities between 0 and 1, money in USDC."""

    categories: tuple[str, ...]
    min_price: float
    max_price: float
    min_liquidity: float
    min_volume: float
    limit: int


class Context(Protocol):
    """The world as a run may see and touch it. Every call may raise `NodeFailed`."""

    start: Start
    is_trial: bool

    def newest(self, *, market: str, symbols: Sequence[str], interval: str) -> Mapping[str, int]:
        """Open times in ms of the newest closed candles."""

    def windows(self, rows: Sequence[Row], *, interval: str) -> Mapping[Key, Window]:
        """Closed candles on an interval up to the close of each row, by its key; rows without a whole window are not in it."""

    def outcomes(self, wanted: Catalogue) -> Sequence[Row]:
        """Polymarket's outcomes, the most traded first."""

    def history(self, row: Row, *, interval: str) -> Sequence[tuple[int, float]]:
        """Earlier prices of an outcome of Polymarket as (ms, price), oldest first."""

    def ask(self, rows: Sequence[Row], *, form: Form, model: str, node: str) -> Sequence[Mapping[str, Any] | None]:
        """The fields of an answer for each row; None where there was no decision."""

    def held_before(self, *, node: str) -> frozenset[str]:
        """The symbols that this node had for signals at the close before this one; none when a run was not started by a close."""

    def raise_signals(self, wanted: Sequence[Wanted]) -> Sequence[Raised]:
        """Raise signals, each once for its key."""

    def tell(self, text: str, *, level: str, node: str) -> None:
        """Write an event for the session's owner, and notify."""

    def fetch(self, url: str) -> Any:
        """JSON from an allowed host."""


@dataclass(frozen=True)
class Call:
    """A node's turn: its id, its settings and what came in."""

    node: str
    settings: Any
    inputs: Inputs
    context: Context

    def rows(self, port: str = "rows") -> list[Row]:
        """Rows of an input, each market and symbol once."""
        return list({row.key: row for row in self.inputs.get(port, ())}.values())


@dataclass(frozen=True)
class NodeType:
    """
    A type of node. `settings` is a pydantic model, which checks them and draws the editor's form.

    `trigger_of` reads (market, interval, symbols) out of the settings of a type that closes start.
    """

    name: str
    label: str
    group: str
    summary: str
    settings: type[Settings]
    run: Callable[[Call], Mapping[str, Value]] | None = None
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    is_start: bool = False
    trigger_of: Callable[[Any], tuple[str, str, tuple[str, ...]]] | None = None

    @property
    def runs(self) -> bool:
        """Whether it does anything at all; a note does not."""
        return self.run is not None

    def described(self) -> dict[str, Any]:
        """For the editor."""
        return {
            "name": self.name,
            "label": self.label,
            "group": self.group,
            "summary": self.summary,
            "settings": self.settings.model_json_schema(),
            "inputs": [vars(port) for port in self.inputs],
            "outputs": [vars(port) for port in self.outputs],
        }
