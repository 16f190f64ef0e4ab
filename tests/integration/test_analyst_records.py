"""What is kept of an analysis, replayed and traced; who gets continuous monitoring; what the pages say."""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from desk import attention, stats, status
from monitoring import closes, first_analysis, rollout
from monitoring.asking import budget, tracing
from monitoring.models import AnalystEndpoint, AuditLog, MonitoringRollout, Signal, SignalAnalysis, Trader, User
from tests.support.analysts import StubEndpoint, completion, entering, verdict
from tests.support.clocks import START_MS, SteppingClock
from tests.support.factories import make_signal, make_trader, make_user, simulated

pytestmark = pytest.mark.django_db
LENGTH = 300_000


@pytest.fixture
def stub(settings) -> Iterator[StubEndpoint]:
    with StubEndpoint(lambda _: completion(verdict("wait"))).running() as endpoint:
        settings.LLM_BASE_URL, settings.LLM_MODEL, settings.LLM_MAX_ATTEMPTS = endpoint.url, "stub-1", 1
        yield endpoint


def judged(clock: SteppingClock, trader: Trader | None = None) -> SignalAnalysis:
    """A new signal's first analysis."""
    trader = trader or make_trader(analyst="llm", ai_model="stub-1")
    closes.record(fetched=simulated(seed=1, symbol="BTCUSDT", interval="5m", start=START_MS - 300 * LENGTH, count=300), now=clock.now)
    signal = make_signal(trader, created_at=clock.now)
    first_analysis.run()
    return SignalAnalysis.objects.get(signal=signal)


class TestReplay:
    @pytest.mark.parametrize("model", ["stub-1", "stub-words"])
    def test_the_same_prompt_and_verdict_come_out_again(self, clock: SteppingClock, stub: StubEndpoint, model: str) -> None:
        stub.script = lambda body: completion(entering(body, "enter_trade"))
        row = judged(clock, make_trader(analyst="llm", ai_model=model))
        assert (row.outcome, row.decision, len(row.attempt_log)) == ("ok", "enter_trade", 1)
        assert run(row) == f"{row.id}: prompt the same, verdict the same"

    @pytest.mark.parametrize("reply", [completion("nonsense"), completion("{", finish_reason="length"), completion(verdict("enter_trade"))])
    def test_so_does_the_reason_for_none(self, clock: SteppingClock, stub: StubEndpoint, reply: Any) -> None:
        stub.script = lambda _: reply
        assert run(judged(clock)).endswith("prompt the same, verdict the same")

    def test_what_lies_outside_the_answer_is_not_looked_at(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        stub.script = lambda _: (503, b"down")
        assert "verdict not looked at (the outcome unavailable" in run(judged(clock))

    def test_a_changed_record_is_noticed(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        row = judged(clock)
        with connection.cursor() as cursor:
            cursor.execute("""UPDATE signal_analyses SET snapshot = jsonb_set(snapshot, '{candle,close}', '1') WHERE id = %s""", [row.id])
        with pytest.raises(CommandError, match="1 of 1"):
            run(row)

    def test_the_rules_are_judged_again(self, clock: SteppingClock) -> None:
        assert "verdict the same (the rules need no prompt)" in run(judged(clock, make_trader(analyst="rules")))

    def test_nobody_is_asked(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        row = judged(clock)
        run(row, "--show")
        assert len(stub.requests) == 1

    def test_an_unknown_one_is_an_error(self) -> None:
        with pytest.raises(CommandError, match="no analysis"):
            call_command("replay_analysis", str(uuid.uuid4()))


def run(row: SignalAnalysis, *more: str) -> str:
    out = StringIO()
    call_command("replay_analysis", str(row.id), *more, stdout=out)
    return out.getvalue().strip()


class Collector:
    """A place that spans are sent to."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.headers: list[dict[str, str]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                found = ExportTraceServiceRequest.FromString(body)
                collector.headers.append({name.lower(): value for name, value in self.headers.items()} | {"path": self.path})
                collector.spans += [span for one in found.resource_spans for scope in one.scope_spans for span in scope.spans]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def collector(settings) -> Iterator[Collector]:
    found = Collector()
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = f"{found.url}/otel"
    settings.OTEL_EXPORTER_OTLP_HEADERS = {"Authorization": "Bearer key", "x-bt-parent": "project_id:1"}
    tracing._tracer.cache_clear()
    yield found
    tracing._tracer.cache_clear()
    found.server.shutdown()
    found.server.server_close()


def flushed(collector: Collector) -> dict[str, Any]:
    """Spans by name once they have arrived."""
    tracer: Any = tracing._tracer(os.getpid())
    tracer.span_processor.force_flush()
    return {span.name: span for span in collector.spans}


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


class TestTraces:
    def test_a_span_for_the_analysis_and_one_for_each_attempt(self, clock: SteppingClock, stub: StubEndpoint, collector: Collector) -> None:
        row = judged(clock)
        spans = flushed(collector)
        analysis, chat = spans["analysis initial"], spans["chat stub-1"]
        assert row.trace_id == analysis.trace_id.hex() == chat.trace_id.hex()
        assert chat.parent_span_id == analysis.span_id
        found = attributes(chat)
        assert found["gen_ai.operation.name"] == "chat"
        assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (900, 120)
        assert "gen_ai.input.messages" not in found, "prompts stay here unless somebody asks for them"
        assert collector.headers[0]["path"] == "/otel/v1/traces"
        assert collector.headers[0]["x-bt-parent"] == "project_id:1"

    def test_content_leaves_only_when_asked_for(
        self, clock: SteppingClock, stub: StubEndpoint, collector: Collector, settings: Any
    ) -> None:
        settings.TRACE_CONTENT = True
        judged(clock)
        messages = json.loads(attributes(flushed(collector)["chat stub-1"])["gen_ai.input.messages"])
        assert [message["role"] for message in messages] == ["system", "user"]

    def test_an_exporter_that_is_down_costs_nothing(self, clock: SteppingClock, stub: StubEndpoint, settings: Any) -> None:
        settings.OTEL_EXPORTER_OTLP_ENDPOINT = "http://127.0.0.1:9"
        tracing._tracer.cache_clear()
        began = time.monotonic()
        row = judged(clock)
        assert (row.outcome, len(row.trace_id)) == ("ok", 32)
        assert time.monotonic() - began < 3
        tracer: Any = tracing._tracer(os.getpid())
        tracer.span_processor.shutdown()
        tracing._tracer.cache_clear()


def the_row() -> MonitoringRollout:
    """Migrations make it; a test that empties all tables takes it away."""
    return MonitoringRollout.objects.get_or_create(pk=1)[0]


class TestRollOut:
    def test_everybody_unless_somebody_says_otherwise(self) -> None:
        assert the_row().mode == "all"
        assert self.in_for(make_trader())

    def in_for(self, trader: Trader) -> bool:
        return trader.id in rollout.admitted([trader])

    def test_nobody_test_traders_and_the_chosen(self) -> None:
        row = the_row()
        test, mine, other = make_trader(is_test=True), make_trader(), make_trader()
        row.mode = "off"
        row.save()
        assert not self.in_for(test)
        row.mode = "test"
        row.save()
        assert (self.in_for(test), self.in_for(mine)) == (True, False)
        row.mode = "chosen"
        row.save()
        row.traders.add(mine)
        assert (self.in_for(mine), self.in_for(other)) == (True, False)
        row.users.add(other.user)
        assert self.in_for(other)
        paid = Group.objects.create(name="paid")
        test.user.groups.add(paid)
        assert not self.in_for(test)
        row.groups.add(paid)
        assert self.in_for(test)

    def test_a_percentage_is_sticky_and_grows(self) -> None:
        row = the_row()
        row.mode = "percent"
        traders = [Trader(id=uuid.uuid4(), user_id=uuid.uuid4()) for _ in range(2000)]
        before: set[uuid.UUID] = set()
        for percent in (0, 10, 50, 100):
            row.percent = percent
            row.save()
            now = rollout.admitted(traders)
            assert before <= now, "whoever is in stays in"
            assert abs(len(now) / 20 - percent) < 4
            before = now

    def test_others_get_the_single_first_analysis(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        MonitoringRollout.objects.update_or_create(pk=1, defaults={"mode": "off"})
        row = judged(clock)
        signal = Signal.objects.get(pk=row.signal_id)
        assert (row.decision, signal.status) == ("wait", "expired")
        assert "continuous monitoring is not on" in signal.close_reason

    def test_it_is_moved_in_the_admin_and_audited(self) -> None:
        the_row()
        admin = User.objects.create_superuser("root", password="x")
        client = Client()
        client.force_login(admin)
        url = "/admin/monitoring/monitoringrollout/1/change/"
        assert client.get(url).status_code == 200
        chosen = make_user()
        answer = client.post(url, {"mode": "percent", "percent": "25", "users": [str(chosen.pk)]})
        assert answer.status_code == 302, answer.content[:500]
        row = MonitoringRollout.objects.get()
        assert (row.mode, row.percent, list(row.users.all())) == ("percent", 25, [chosen])
        log = AuditLog.objects.get(action="roll-out")
        assert (log.before["mode"], log.after["percent"]) == ("all", 25)
        assert client.post(url, {"mode": "percent", "percent": "101"}).status_code == 200, "and says what is wrong"


class TestPages:
    @pytest.mark.django_db(transaction=True)
    def test_the_desk_tells_the_spend_of_the_day_and_where_it_goes(self, clock: SteppingClock, stub: StubEndpoint, settings: Any) -> None:
        settings.DAILY_BUDGET_USD = 5
        judged(clock)
        found = status.read()
        assert (found["cost"], found["budget"]) == (pytest.approx(0.00042), 5)
        hours = clock.now.hour + clock.now.minute / 60 + clock.now.second / 3600
        assert found["projected"] == pytest.approx(0.00042 * 24 / hours, rel=1e-3)
        assert budget.projected(spent=budget.spent_today(now=clock.now).amount_usd, now=clock.now.replace(hour=0, minute=5)) < 0.001

    def test_an_endpoint_that_is_down_needs_attention(self, clock: SteppingClock) -> None:
        AnalystEndpoint.objects.create(base_url="http://llm.example/v1", open_until=clock.now, last_error="HTTP 503")
        item = next(item for item in attention.read(speed=1) if item["tail"] == "LLM")
        assert (item["title"], "HTTP 503" in item["text"]) == ("llm.example", True)

    def test_models_are_held_against_their_targets(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        assert stats.targets(since=clock.at_hours_ago(1), days=1, user_id=None) == []
        judged(clock)
        found = {one.name: one for one in stats.targets(since=clock.at_hours_ago(1), days=1, user_id=None)}
        assert (found["Error rate"].value, found["Error rate"].is_met) == ("0.00 %", True)
        assert found["Tokens a day"].value == "1,020"
        assert found["Mean latency"].is_met

    def test_a_chain_is_checked_where_it_is_written(self) -> None:
        trader = make_trader()
        trader.fallbacks = ["rules", "stub-1"]
        with pytest.raises(Exception, match="always answer"):
            trader.clean()
        trader.fallbacks = ["stub-1", "rules"]
        trader.clean()
