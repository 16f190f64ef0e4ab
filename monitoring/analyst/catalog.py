"""
Which models there are, where they are asked, what they take and what they cost. Pure.

Read from TOML: a list of what is known ships with the desk, and an operator's own file is laid over it. A model that
is in neither can be asked all the same, but has no price, and without a price nothing is spent.

BadCatalog   a file that is not of this form; the message names the entry
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

PER_MILLION = Decimal(1_000_000)

Usd = Annotated[Decimal, Field(ge=0, lt=100_000, allow_inf_nan=False)]


class BadCatalog(ValueError):
    """A file of models that can't be used."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EndpointEntry(_Entry):
    """One address that answers; `api_key` names the environment variable (or, with _FILE, the file) that holds the key."""

    base_url: Annotated[str, Field(pattern=r"^https?://[^/]+")]
    api_key: str = ""
    headers: dict[str, str] = {}
    max_concurrency: Annotated[int, Field(ge=1)] | None = None
    requests_per_minute: Annotated[int, Field(ge=0)] | None = None


class ModelEntry(_Entry):
    """One model; prices in USD per million tokens."""

    endpoint: str = ""  # empty: the one of LLM_BASE_URL
    sent_as: str = ""  # the name on the wire, when it is another
    input_usd: Usd | None = None
    cached_input_usd: Usd | None = None
    output_usd: Usd | None = None
    answers: Literal["json_schema", "json_object"] = "json_schema"
    limit_parameter: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    max_answer_tokens: Annotated[int, Field(ge=50, le=200_000)] = 2000
    parameters: dict[str, JsonValue] = {}  # sent as they are: temperature, reasoning_effort, provider …

    @field_validator("parameters", mode="before")
    @classmethod
    def _as_json(cls, value: Any) -> Any:
        """Prices are read as exact decimals; what is sent to a model is plain JSON."""
        return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


class _File(_Entry):
    endpoints: dict[str, EndpointEntry] = {}
    models: dict[str, ModelEntry] = {}


@dataclass(frozen=True)
class Endpoint:
    """Where to ask. `base_url` goes up to and includes /v1; it is also the endpoint's name. 0 requests per minute: no limit."""

    base_url: str
    api_key: str
    headers: tuple[tuple[str, str], ...]
    max_concurrency: int
    requests_per_minute: int


@dataclass(frozen=True)
class ModelSpec:
    """A model as it is asked."""

    name: str
    endpoint: Endpoint
    entry: ModelEntry

    @property
    def wire_name(self) -> str:
        """What the endpoint calls it."""
        return self.entry.sent_as or self.name

    @cached_property
    def is_priced(self) -> bool:
        """Whether it is known what an answer costs."""
        return self.entry.input_usd is not None and self.entry.output_usd is not None

    def cost(self, *, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> Decimal | None:
        """USD for so many tokens, of which `cached_tokens` of the prompt were cached; None without a price."""
        entry = self.entry
        if entry.input_usd is None or entry.output_usd is None:
            return None
        cached = min(cached_tokens, prompt_tokens) if entry.cached_input_usd is not None else 0
        fresh = (prompt_tokens - cached) * entry.input_usd + completion_tokens * entry.output_usd
        return (fresh + cached * (entry.cached_input_usd or 0)) / PER_MILLION

    def most(self, *, request_bytes: int) -> Decimal | None:
        """
        The most that one answer to a request of so many bytes can cost, in USD; None without a price.

        A token is at least one byte of UTF-8, whatever the tokenizer: so the bytes bound the prompt's tokens.
        """
        return self.cost(prompt_tokens=request_bytes, completion_tokens=self.entry.max_answer_tokens)


class Catalog:
    """All models that are known, later files over earlier ones."""

    def __init__(self, files: Mapping[str, Mapping[str, Any]], *, default: Endpoint, secret: Callable[[str], str]) -> None:
        """
        :param files: what stands in them, by their names
        :param default: the endpoint of models that name none
        :param secret: the value of an environment variable
        :raises BadCatalog: naming the file and the entry that is wrong
        """
        self._models: dict[str, ModelEntry] = {}
        self._endpoints: dict[str, Endpoint] = {"": default}
        for path, raw in files.items():
            try:
                read = _File.model_validate(raw)
            except ValidationError as error:
                first = error.errors()[0]
                raise BadCatalog(f"{path}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error
            self._models |= read.models
            self._endpoints |= {name: _endpoint(entry, default, secret) for name, entry in read.endpoints.items()}
        for name, entry in self._models.items():
            if entry.endpoint not in self._endpoints:
                raise BadCatalog(f"models.{name}.endpoint: there is no endpoint {entry.endpoint!r}")

    def spec(self, model: str) -> ModelSpec:
        """The model by its name; a vendor before it, as OpenRouter writes it, finds the same entry."""
        entry = self._models.get(model) or self._models.get(model.rpartition("/")[2]) or ModelEntry()
        return ModelSpec(model, self._endpoints[entry.endpoint], entry)


def _endpoint(entry: EndpointEntry, default: Endpoint, secret: Callable[[str], str]) -> Endpoint:
    return Endpoint(
        base_url=entry.base_url.rstrip("/"),
        api_key=secret(entry.api_key) if entry.api_key else "",
        headers=tuple(sorted(entry.headers.items())),
        max_concurrency=entry.max_concurrency or default.max_concurrency,
        requests_per_minute=default.requests_per_minute if entry.requests_per_minute is None else entry.requests_per_minute,
    )
