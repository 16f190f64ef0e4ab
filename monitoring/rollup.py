"""
Sums of past days' questions: what statistics read instead of every question that was ever asked.

A day is summed up once, when it is long over. Questions are never changed or removed, so its sums stay true; whatever is not summed up yet
is read as it is, and both are the same figures.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from django.db import connection, transaction

from monitoring import clock, jobs

GRACE = timedelta(hours=1)  # app time; whoever asked before midnight has recorded the answer by then
ASK_AGAIN_S = 120  # real time; a job that is alive has got on by then
DAYS_A_JOB = 30

# A step of latency is an eighth of a doubling, so a percentile is at most 9 % above the exact one.
STEPS_A_DOUBLING = 8
DOUBLINGS = "ln(greatest(a.latency_ms, 1)::float8) / ln(2::float8)"
STEP = f"CASE WHEN a.latency_ms IS NOT NULL THEN ceil({DOUBLINGS} * {STEPS_A_DOUBLING})::smallint END"
KEYS = "day, user_id, trader_id, symbol, interval, kind, analyst, model, prompt_version, asked_model"
SUMS = "questions, decided, failed, counted, tokens, latency_ms, cost_usd, latency_steps, latency_counts"

# Questions of some time, alike ones together, in the columns of question_days; {when} is a condition on a.created_at.
FIGURES = f"""
SELECT {KEYS}, sum(questions)::int AS questions, sum(decided)::int AS decided, sum(failed)::int AS failed, sum(counted)::int AS counted,
       sum(tokens)::bigint AS tokens, sum(latency_ms)::bigint AS latency_ms, sum(cost_usd) AS cost_usd,
       coalesce(array_agg(latency_step) FILTER (WHERE latency_step IS NOT NULL), ARRAY[]::smallint[]) AS latency_steps,
       coalesce(array_agg(questions) FILTER (WHERE latency_step IS NOT NULL), ARRAY[]::int[]) AS latency_counts
  FROM (SELECT (a.created_at AT TIME ZONE 'UTC')::date AS day, a.user_id, a.trader_id, s.symbol, s.interval, a.kind, a.analyst, a.model,
               a.prompt_version, a.attempt_log @> jsonb_build_array(jsonb_build_object('analyst', 'llm')) AS asked_model,
               {STEP} AS latency_step,
               count(*)::int AS questions,
               count(*) FILTER (WHERE a.outcome = 'ok') AS decided,
               count(*) FILTER (WHERE a.outcome NOT IN ('ok', 'halted', 'over_budget')) AS failed,
               count(a.prompt_tokens) AS counted,
               sum(coalesce(a.prompt_tokens, 0) + coalesce(a.completion_tokens, 0)) AS tokens,
               sum(coalesce(a.latency_ms, 0)) AS latency_ms,
               sum(coalesce(a.cost_usd, 0)) AS cost_usd
          FROM signal_analyses a LEFT JOIN signals s ON s.id = a.signal_id
         WHERE {{when}}
         GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11) steps
 GROUP BY {KEYS}
"""
ROLL_UP = f"INSERT INTO question_days ({KEYS}, {SUMS}) " + FIGURES.format(when="a.created_at >= %(since)s AND a.created_at < %(until)s")

# From a moment on: the rest of its day and all that is not summed up yet as it is, the days between from the sums.
UNSUMMED = FIGURES.format(when="a.created_at >= %(since)s AND (a.created_at < %(sums_from)s OR a.created_at >= %(sums_until)s)")
SINCE = f"""
SELECT {KEYS}, {SUMS} FROM question_days WHERE day >= %(first_whole_day)s AND day <= %(last_summed_day)s
 UNION ALL
SELECT * FROM ({UNSUMMED}) unsummed
"""

NEXT = """
SELECT coalesce((SELECT max(day) + 1 FROM rolled_days WHERE rolled_at IS NOT NULL),
                (SELECT (min(created_at) AT TIME ZONE 'UTC')::date FROM signal_analyses))
"""
ASK = """
INSERT INTO rolled_days AS r (day) VALUES (%(day)s)
ON CONFLICT (day) DO UPDATE SET asked_at = now() WHERE r.rolled_at IS NULL AND r.asked_at < now() - make_interval(secs => %(again)s)
"""
CLAIM = "SELECT rolled_at IS NULL FROM rolled_days WHERE day = %s FOR UPDATE SKIP LOCKED"


def sweep(now: datetime) -> int:
    """Ask for a job when a day is over that is not summed up; returns how many jobs were enqueued."""
    day = _next_day()
    if day is None or not _is_over(day, now=now):
        return 0
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(ASK, {"day": day, "again": ASK_AGAIN_S})
        if not cursor.rowcount:
            return 0
        jobs.enqueue(jobs.Job.ROLL_UP)
    return 1


def run(*, now: datetime) -> int:
    """Sum up the next days that are over, in order; returns how many. Whoever runs beside another leaves it the work."""
    for done in range(DAYS_A_JOB):
        day = _next_day()
        if day is None or not _is_over(day, now=now) or not _roll(day):
            return done
    return DAYS_A_JOB


def arguments(*, since: datetime) -> dict[str, datetime | date]:
    """What SINCE has to be executed with."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(day) FROM rolled_days WHERE rolled_at IS NOT NULL")
        newest = cursor.fetchone()[0]
    first = since.date() if since == clock.midnight(since.date()) else since.date() + timedelta(days=1)
    if newest is None or newest < first:  # nothing of it is summed up
        return {"since": since, "first_whole_day": first, "last_summed_day": date.min, "sums_from": since, "sums_until": since}
    # A day that is summed up between this question and the statement is still read as it is: it is never counted twice.
    bounds = {"sums_from": clock.midnight(first), "sums_until": clock.midnight(newest + timedelta(days=1))}
    return {"since": since, "first_whole_day": first, "last_summed_day": newest, **bounds}


def _roll(day: date) -> bool:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("INSERT INTO rolled_days (day) VALUES (%s) ON CONFLICT DO NOTHING", [day])
        cursor.execute(CLAIM, [day])
        if cursor.fetchone() != (True,):
            return False
        cursor.execute(ROLL_UP, {"since": clock.midnight(day), "until": clock.midnight(day + timedelta(days=1))})
        cursor.execute("UPDATE rolled_days SET rolled_at = now() WHERE day = %s", [day])
    return True


def _next_day() -> date | None:
    with connection.cursor() as cursor:
        cursor.execute(NEXT)
        day: date | None = cursor.fetchone()[0]
    return day


def _is_over(day: date, *, now: datetime) -> bool:
    return now >= clock.midnight(day + timedelta(days=1)) + GRACE
