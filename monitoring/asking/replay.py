"""A kept analysis once more: the prompt from its snapshot, the verdict from its answer. Offline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from monitoring.analyst import prompts, reply, rules, verdicts
from monitoring.analyst.contract import RULES, Kind, Outcome, Question, Verdict
from monitoring.analyst.prompts import UnknownRelease
from monitoring.analyst.reply import KEPT_BODY, Received
from monitoring.analyst.request import in_words_of
from monitoring.models import SignalAnalysis

# Outcomes that came from outside the answer itself; a replay can't come to them.
FROM_OUTSIDE = {Outcome.TIMEOUT, Outcome.UNAVAILABLE, Outcome.RATE_LIMITED, Outcome.OVER_BUDGET, Outcome.HALTED, Outcome.LATE}


@dataclass(frozen=True)
class Replay:
    """What came of it; a part that could not be looked at is None, and `note` says why."""

    prompt_is_same: bool | None
    verdict_is_same: bool | None
    messages: Sequence[dict[str, str]] = ()
    note: str = ""

    @property
    def is_same(self) -> bool:
        """Whether nothing came out differently."""
        return self.prompt_is_same is not False and self.verdict_is_same is not False

    def __str__(self) -> str:
        words = {True: "the same", False: "DIFFERENT", None: "not looked at"}
        note = f" ({self.note})" if self.note else ""
        return f"prompt {words[self.prompt_is_same]}, verdict {words[self.verdict_is_same]}{note}"


def replay(row: SignalAnalysis) -> Replay:
    """Render the prompt of a kept analysis and read its answer, and compare both with what was kept."""
    question = Question(row.id, Kind(row.kind), row.snapshot, row.analyst, row.model, datetime.max.replace(tzinfo=UTC))
    if row.analyst == RULES:
        if row.prompt_version != rules.VERSION:
            return Replay(None, None, note=f"the rules are {rules.VERSION} now, they were {row.prompt_version}")
        return Replay(None, _matches(row, Outcome.OK, rules.judge(question)), note="the rules need no prompt")
    try:
        release = prompts.release_of(row.prompt_version, question.kind)
    except UnknownRelease as error:
        return Replay(None, None, note=str(error))
    in_words = row.request.get("response_format", {}).get("type") == "json_object"
    words = in_words_of(question) if in_words else ""
    messages = prompts.render(row.snapshot, kind=question.kind, schema=words, release=release)
    prompt_is_same = messages == row.request.get("messages")
    outcome = Outcome(row.outcome)
    if outcome in FROM_OUTSIDE or len(row.raw_response) >= KEPT_BODY:
        why = f"the outcome {outcome} lies outside the answer" if outcome in FROM_OUTSIDE else "the answer was too long to be kept whole"
        return Replay(prompt_is_same, None, messages, why)
    received = Received(200, {}, row.raw_response.encode())
    found, _, verdict, _ = verdicts.judge(reply.read(received, now=row.created_at), question=question)
    return Replay(prompt_is_same, _matches(row, found, verdict), messages)


def _matches(row: SignalAnalysis, outcome: Outcome, verdict: Verdict | None) -> bool:
    if verdict is None:
        return row.decision is None and row.outcome == outcome.value
    return row.answer == verdict.as_json() and row.confidence == Decimal(verdict.confidence)
