"""
A desk with a long history, made by SQL: what pages are measured on.

Twenty traders of five people; every signal waits for fourteen closes, every fifth becomes a position that is managed for twenty.
Keys are hashes of numbers, so that the rows find each other without being looked up. Times end now.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from json import dumps
from typing import Any

from django.contrib.auth.models import Group
from django.db import connection

from monitoring import clock
from monitoring.models import Trader, User
from positions.models import ExchangeAccount, TradingProfile

OWNERS, TRADERS, SYMBOLS_EACH, SYMBOLS = 5, 20, 5, 50
WAITS, POSITION_EVERY, MANAGED = 14, 5, 20
DECISIONS_A_SIGNAL = 1 + WAITS + MANAGED // POSITION_EVERY
DAYS, CANDLE_DAYS = 90, 30
INTERVAL, INTERVAL_MS = "5m", 300_000
MODELS = ("gpt-4o-mini", "claude-haiku", "deepseek-chat")

# What all statements start from: a row per signal with its trader, its symbol and its first candle.
SIGNALS = """
CREATE UNLOGGED TABLE bench AS
SELECT n, md5('signal' || n)::uuid AS signal, md5('schedule' || n)::uuid AS schedule, md5('position' || n)::uuid AS position,
       md5('managing' || n)::uuid AS managing, n / %(traders)s %% %(every)s = 0 AS entered, t.id AS trader, t.user_id AS owner,
       t.symbols[1 + n / %(traders)s %% %(each)s] AS symbol, t.account, t.model, t.analyst, 100 + n %% 900 AS price,
       (%(until)s - %(days)s * %(day)s::bigint + n * (%(days)s * %(day)s::bigint / %(signals)s)) / %(length)s * %(length)s AS first
  FROM generate_series(1, %(signals)s) n
  JOIN unnest(%(trader)s::uuid[], %(owner)s::uuid[], %(account)s::uuid[], %(model)s::text[], %(analyst)s::text[])
       WITH ORDINALITY AS x(id, user_id, account, model, analyst, at) ON x.at = 1 + n %% %(traders)s
  JOIN LATERAL (SELECT x.*, (SELECT symbols FROM traders WHERE id = x.id) AS symbols) t ON true
"""
FILL = {
    "candles": """
        INSERT INTO candles (market, symbol, interval, open_time, open, high, low, close, volume, quote_volume, trades, source, received_at)
        SELECT 'binance', 'S' || s || 'USDT', %(interval)s, at, 100, 101, 99, 100 + (s + at / %(length)s) %% 7 / 10.0, 5, 500, 9, 'stream',
               to_timestamp((at + %(length)s) / 1000.0)
          FROM generate_series(%(until)s - %(candle_days)s * %(day)s::bigint, %(until)s - %(length)s, %(length)s) at,
               generate_series(0, %(symbols)s - 1) s""",
    "signals": """
        INSERT INTO signals (id, trader_id, user_id, symbol, interval, side, status, initial_price, source, metadata, matched_conditions,
                             reanalysis_count, created_at, monitoring_started_at, position_opened_at, closed_at, close_reason)
        SELECT signal, trader, owner, symbol, %(interval)s, 'long', CASE WHEN entered THEN 'closed' ELSE 'expired' END, price, 'screen',
               '{"close": 100.5}', '[{"field": "rsi_14", "operator": "lt", "value": 30}]', %(waits)s, ts(first, 1), ts(first, 1),
               CASE WHEN entered THEN ts(first, 1 + %(waits)s) END, ts(first, 40), 'decision_changed' FROM bench""",
    "workflows": """
        INSERT INTO workflow_schedules (id, workflow_type, entity_id, trader_id, user_id, market, symbol, interval, last_run_at,
                                        last_candle_time, execution_count, is_active, started_at, stopped_at, stop_reason, last_error)
        SELECT schedule, 'signal_monitoring', signal, trader, owner, 'binance', symbol, %(interval)s, ts(first, %(waits)s),
               first + %(waits)s * %(length)s, %(waits)s, n > %(signals)s - 200, ts(first, 1),
               CASE WHEN n <= %(signals)s - 200 THEN ts(first, 16) END,
               CASE WHEN n > %(signals)s - 200 THEN '' WHEN n %% 997 = 0 THEN 'error_limit_exceeded' ELSE 'decision_changed' END,
               CASE WHEN n %% 97 = 0 THEN 'the model answered 503 five times in a row' ELSE '' END FROM bench
         UNION ALL
        SELECT managing, 'position_management', position, trader, owner, 'binance', symbol, %(interval)s, ts(first, 36),
               first + 36 * %(length)s, %(managed)s, false, ts(first, 15), ts(first, 37), 'position_closed', '' FROM bench WHERE entered""",
    "ledger": """
        INSERT INTO workflow_runs (id, schedule_id, candle_time, status, reason, attempt, finished_at, close_to_decision_ms, created_at)
        SELECT md5('run' || n || '-' || k)::uuid, CASE WHEN k <= %(waits)s THEN schedule ELSE managing END, first + k * %(length)s,
               CASE WHEN (n + k) %% 211 = 0 THEN 'late' WHEN (n + k) %% 307 = 0 THEN 'failed' ELSE 'decided' END,
               CASE WHEN (n + k) %% 211 = 0 THEN 'answered_late' WHEN (n + k) %% 307 = 0 THEN 'error' ELSE '' END,
               1, ts(first, k + 1), 900 + (n * 7 + k) %% 4000, ts(first, k + 1)
          FROM bench, generate_series(1, %(waits)s + %(managed)s) k WHERE k <= %(waits)s OR entered""",
    "analyses": """
        INSERT INTO signal_analyses (id, kind, signal_id, run_id, trader_id, user_id, decision, confidence, reasoning, outcome, error,
                                     analyst, model, prompt_version, request, raw_response, answer, snapshot, prompt_tokens,
                                     completion_tokens, cost_usd, latency_ms, attempts, attempt_log, response_headers,
                                     ungrounded, candle_time, created_at)
        SELECT md5('analysis' || n || '-' || k)::uuid,
               CASE WHEN k = 0 THEN 'initial' WHEN k <= %(waits)s THEN 'monitoring' ELSE 'management' END,
               signal, CASE WHEN k > 0 THEN md5('run' || n || '-' || k)::uuid END, trader, owner,
               CASE WHEN (n + k) %% 307 = 0 THEN NULL WHEN k = 0 THEN 'wait' WHEN k < %(waits)s THEN 'continue'
                    WHEN k = %(waits)s THEN CASE WHEN entered THEN 'enter' ELSE 'abandon' END ELSE 'hold' END,
               0.5 + n %% 50 / 100.0,
               'RSI(14) is at ' || n %% 60 || ' after ' || k || ' closes; volume is below its mean, the idea of ' || symbol
               || ' stands as long as ' || price || ' holds. ' || repeat('The distance to the stop is two ATR. ', 3),
               CASE WHEN (n + k) %% 307 = 0 THEN 'timeout' ELSE 'ok' END, '', analyst, model, 'v1', %(request)s::jsonb, %(answer)s,
               '{"decision": "continue", "confidence": 0.7}', %(snapshot)s::jsonb, 900 + n %% 300, 150 + k, 0.0004 + k * 0.000001,
               900 + (n * 7919 + k * 104729) %% 5000, 1,
               CASE WHEN analyst = 'llm' THEN '[{"analyst": "llm", "outcome": "ok"}]'::jsonb ELSE '[]' END, '{}', '[]',
               first + k * %(length)s, ts(first, k + 1)
          FROM bench, generate_series(0, %(waits)s + %(managed)s) k WHERE k <= %(waits)s OR entered""",
    "monitoring decisions": """
        INSERT INTO monitoring_decisions (id, run_id, signal_id, timestamp, candle_time, price, volume, decision, confidence, reasoning,
                                          trade_plan, indicators, market_conditions, outcome, analysis_id, created_at)
        SELECT md5('decision' || n || '-' || k)::uuid, md5('run' || n || '-' || k)::uuid, signal, ts(first, k + 1), first + k * %(length)s,
               price, 5, CASE WHEN k < %(waits)s THEN 'continue' WHEN entered THEN 'enter' ELSE 'abandon' END, 0.7,
               'RSI(14) is at ' || n %% 60 || '; the idea of ' || symbol || ' stands.', '{"entry": 100, "stopLoss": 98, "takeProfit": 104}',
               %(snapshot)s::jsonb, '{"trend": "up"}', 'applied', md5('analysis' || n || '-' || k)::uuid, ts(first, k + 1)
          FROM bench, generate_series(1, %(waits)s) k""",
    "positions": """
        INSERT INTO positions (id, account_id, trader_id, signal_id, market, symbol, side, status, contracts, planned_contracts,
                               initial_contracts, cost, entry_price, stop_loss, initial_stop_loss, take_profit, realized_pnl, max_pnl, fees,
                               opened_at, closed_at, close_reason, created_at)
        SELECT position, account, trader, signal, 'binance', symbol, 'long', 'closed', 0, 2, 2, 0, price, price - 2, price - 2, price + 4,
               n %% 13 - 5, 8, 0.4, ts(first, 15), ts(first, 37), CASE WHEN n %% 2 = 0 THEN 'target' ELSE 'stop' END, ts(first, 15)
          FROM bench WHERE entered""",
    "management decisions": """
        INSERT INTO position_management_decisions (id, run_id, position_id, signal_id, timestamp, candle_time, current_pnl, current_pnl_pct,
                                                   position_size, action, confidence, reasoning, action_details, market_price, indicators,
                                                   risk_assessment, outcome, analysis_id, created_at)
        SELECT md5('managed' || n || '-' || k)::uuid, md5('run' || n || '-' || k)::uuid, position, signal, ts(first, k + 1),
               first + k * %(length)s, 1.5, 0.7, 2, CASE WHEN k %% 9 = 0 THEN 'adjust_sl' ELSE 'hold' END, 0.7,
               'The trend holds above ' || price, '{}', price, %(snapshot)s::jsonb, '{"stopDistancePct": 1.2}', 'applied',
               md5('analysis' || n || '-' || k)::uuid, ts(first, k + 1)
          FROM bench, generate_series(%(waits)s + 1, %(waits)s + %(managed)s) k WHERE entered""",
    "orders": """
        INSERT INTO orders (id, position_id, account_id, cause, cause_id, leg, generation, side, type, quantity, trigger_price,
                            reduce_only, client_order_id, status, filled, average_price, intended_at, sent_at, finished_at)
        SELECT md5('order' || n || leg)::uuid, position, account, 'decision', n::text, leg, 0,
               CASE WHEN leg = 'entry' THEN 'buy' ELSE 'sell' END,
               CASE WHEN leg = 'stop' THEN 'stop_market' ELSE 'market' END, 2, CASE WHEN leg = 'stop' THEN price - 2 END, leg <> 'entry',
               'cd' || n || leg, CASE WHEN leg = 'stop' THEN 'canceled' ELSE 'filled' END, CASE WHEN leg = 'stop' THEN 0 ELSE 2 END, price,
               ts(first, CASE WHEN leg = 'close' THEN 37 ELSE 15 END), ts(first, 15), ts(first, 37)
          FROM bench, unnest(ARRAY['entry', 'stop', 'close']) leg WHERE entered""",
    "fills": """
        INSERT INTO fills (id, order_id, account_id, exchange_trade_id, price, quantity, fee, fee_currency, at)
        SELECT md5('fill' || n || leg)::uuid, md5('order' || n || leg)::uuid, account, 'trade' || n || leg, price, 2, 0.2, 'USDT',
               ts(first, CASE WHEN leg = 'close' THEN 37 ELSE 15 END)
          FROM bench, unnest(ARRAY['entry', 'close']) leg WHERE entered""",
    "screenings": """
        INSERT INTO screenings (trader_id, market, symbol, interval, candle_time, status, created_at)
        SELECT t.id, t.market, symbol, %(interval)s, at, CASE WHEN at / %(length)s %% 400 = 0 THEN 'fired' ELSE 'no_match' END,
               to_timestamp((at + %(length)s) / 1000.0)
          FROM traders t, unnest(t.symbols) symbol,
               generate_series(%(until)s - %(candle_days)s * %(day)s::bigint, %(until)s - %(length)s, %(length)s) at""",
    "events": """
        INSERT INTO events (at, kind, level, text, data, user_id, trader_id, signal_id, schedule_id, seq)
        SELECT ts(first, k + 1), CASE WHEN k = 0 THEN 'signal_raised' ELSE 'decision' END,
               CASE WHEN (n + k) %% 307 = 0 THEN 'warning' ELSE 'info' END,
               symbol || ': continue, the idea stands', '{"decision": "continue"}', owner, trader, signal, schedule,
               row_number() OVER (ORDER BY first + k * %(length)s)
          FROM bench, generate_series(0, %(waits)s) k ORDER BY first + k * %(length)s""",
    "deliveries": """
        INSERT INTO notification_deliveries (id, event_id, user_id, status, created_at)
        SELECT gen_random_uuid(), e.id, e.user_id, 'shown', e.at FROM events e WHERE e.level = 'warning'""",
    "reservations": """
        INSERT INTO budget_reservations (id, endpoint, model, trader_id, day, reserved_usd, cost_usd, granted_at, lease_until,
                                         sent_at, finished_at)
        SELECT gen_random_uuid(), 'https://example.org/v1', model, trader, ts(first, k)::date, 0.001, 0.0004, ts(first, k), ts(first, k),
               ts(first, k), ts(first, k) FROM bench, generate_series(0, %(waits)s) k WHERE analyst = 'llm'""",
    "audit log": """
        INSERT INTO audit_log (at, user_id, actor, source, action, subject_type, subject_id, before, after, reason)
        SELECT ts(first, 3), owner, 'owner', 'web', CASE WHEN n %% 3 = 0 THEN 'change' ELSE 'halt' END, 'trader', trader::text,
               '{"state": "running"}', '{"state": "paused"}', 'tried something ' || n FROM bench""",
}
HELPER = """
CREATE OR REPLACE FUNCTION ts(first bigint, candles bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
$$ SELECT to_timestamp((first + candles * 300000) / 1000.0) $$
"""


def fill(*, decisions: int, now: datetime) -> Iterator[str]:
    """Make about so many decisions and all that hangs on them; says what is done."""
    traders = _traders()
    values = _values(decisions=decisions, now=now, traders=traders)
    with connection.cursor() as cursor:
        cursor.execute(HELPER)
        cursor.execute(SIGNALS, values)
        # The order of commits, which a trigger keeps, is the order of the rows here.
        cursor.execute("ALTER TABLE events DISABLE TRIGGER USER")
        for what, sql in FILL.items():
            cursor.execute(sql, values)
            yield f"{cursor.rowcount:,} {what}"
        cursor.execute("ALTER TABLE events ENABLE TRIGGER USER")
        cursor.execute("DROP TABLE bench")
        cursor.execute("VACUUM (ANALYZE)")
    yield "statistics"


def _values(*, decisions: int, now: datetime, traders: list[Trader]) -> dict[str, Any]:
    signals = decisions // DECISIONS_A_SIGNAL
    snapshot = {f"indicator_{number}": 100.25 + number for number in range(12)}
    prompt = "You judge setups. " + "Every number that you name has to be in the data. " * 12
    messages = [{"role": "system", "content": prompt}, {"role": "user", "content": dumps(snapshot)}]
    return {
        "signals": signals,
        "every": POSITION_EVERY,
        "traders": TRADERS,
        "each": SYMBOLS_EACH,
        "symbols": SYMBOLS,
        "days": DAYS,
        "day": 86_400_000,
        "candle_days": CANDLE_DAYS,
        "interval": INTERVAL,
        "length": INTERVAL_MS,
        "until": clock.to_ms(now) // INTERVAL_MS * INTERVAL_MS,
        "waits": WAITS,
        "managed": MANAGED,
        "trader": [trader.id for trader in traders],
        "owner": [trader.user_id for trader in traders],
        "account": [trader.profile.account_id for trader in traders],
        "model": [trader.ai_model for trader in traders],
        "analyst": [trader.analyst for trader in traders],
        "snapshot": dumps(snapshot),
        "request": dumps({"model": "a model", "messages": messages}),
        "answer": dumps({"decision": "continue", "confidence": 0.7, "reasoning": "The idea stands."}),
    }


def _traders() -> list[Trader]:
    """The people, their accounts and their traders; every fourth trader is judged by rules."""
    owners = [User.objects.create_user(username=f"owner{number}", is_staff=True) for number in range(OWNERS)]
    for owner in owners:
        owner.groups.add(Group.objects.get(name="trader-owner"))
    made = []
    for number in range(TRADERS):
        owner = owners[number % OWNERS]
        account = ExchangeAccount.objects.create(user=owner, name=f"paper {number}")
        by_rules = number % 4 == 0
        symbols = [f"S{(number * SYMBOLS_EACH + k) % SYMBOLS}USDT" for k in range(SYMBOLS_EACH)]
        trader = Trader.objects.create(
            user=owner,
            name=f"Trader {number}",
            market="binance",
            symbols=symbols,
            interval=INTERVAL,
            conditions=[{"field": "rsi_14", "operator": "lt", "value": 30}],
            analyst=Trader.Analyst.RULES if by_rules else Trader.Analyst.LLM,
            ai_model="" if by_rules else MODELS[number % len(MODELS)],
        )
        TradingProfile.objects.create(trader=trader, account=account)
        made.append(trader)
    return made
