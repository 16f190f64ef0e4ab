"""Effectiveness: one view of a row per signal or position, and one that sums it up per trader."""

from django.db import migrations

FORWARD = """
CREATE VIEW monitoring_effectiveness_signals WITH (security_invoker = true) AS
SELECT s.id AS signal_id, s.trader_id, s.symbol, s.interval,
       coalesce(a.analyst, '') AS analyst, coalesce(a.model, '') AS model, coalesce(a.prompt_version, '') AS prompt_version,
       s.monitoring_started_at,
       s.position_opened_at IS NOT NULL AND s.status IN ('in_position', 'closed') AS entered,
       s.status = 'expired' AS abandoned,
       extract(epoch FROM s.position_opened_at - s.monitoring_started_at) / 3600 AS hours_to_entry,
       CASE WHEN p.status = 'closed' THEN p.realized_pnl - p.fees > 0 END AS won
  FROM signals s
  LEFT JOIN LATERAL (SELECT analyst, model, prompt_version FROM signal_analyses
                      WHERE signal_id = s.id AND kind <> 'management' ORDER BY created_at DESC LIMIT 1) a ON true
  LEFT JOIN positions p ON p.signal_id = s.id
 WHERE s.monitoring_started_at IS NOT NULL;

CREATE VIEW monitoring_effectiveness WITH (security_invoker = true) AS
SELECT trader_id,
       count(*)::int AS total_monitored,
       count(*) FILTER (WHERE entered)::int AS entered_trades,
       count(*) FILTER (WHERE abandoned)::int AS abandoned_setups,
       avg(hours_to_entry) FILTER (WHERE entered) AS avg_hours_to_entry,
       (count(*) FILTER (WHERE won))::numeric / nullif(count(won), 0) AS win_rate_after_monitoring
  FROM monitoring_effectiveness_signals
 GROUP BY trader_id;

CREATE VIEW management_effectiveness_positions WITH (security_invoker = true) AS
SELECT p.id AS position_id, p.trader_id, p.symbol, p.closed_at,
       count(d.id)::int AS decisions,
       (count(d.id) FILTER (WHERE d.action = 'adjust_sl' AND d.outcome = 'applied'))::int AS sl_adjustments,
       (count(d.id) FILTER (WHERE d.action = 'adjust_tp' AND d.outcome = 'applied'))::int AS tp_adjustments,
       (count(d.id) FILTER (WHERE d.action = 'reduce' AND d.outcome = 'applied'))::int AS partial_exits,
       p.realized_pnl - p.fees AS final_pnl, p.max_pnl,
       p.realized_pnl - p.fees > 0 AS won
  FROM positions p
  LEFT JOIN position_management_decisions d ON d.position_id = p.id
 WHERE p.status = 'closed' AND p.opened_at IS NOT NULL
 GROUP BY p.id;

CREATE VIEW management_effectiveness WITH (security_invoker = true) AS
SELECT trader_id,
       avg(decisions) AS avg_decisions_per_trade,
       avg(sl_adjustments) AS avg_sl_adjustments,
       avg(tp_adjustments) AS avg_tp_adjustments,
       avg(partial_exits) AS avg_partial_exits,
       sum(final_pnl) FILTER (WHERE max_pnl > 0) / nullif(sum(max_pnl) FILTER (WHERE max_pnl > 0), 0) AS profit_retention_ratio,
       (count(*) FILTER (WHERE won))::numeric / count(*) AS managed_win_rate
  FROM management_effectiveness_positions
 GROUP BY trader_id;
"""
BACKWARD = """
DROP VIEW management_effectiveness;
DROP VIEW management_effectiveness_positions;
DROP VIEW monitoring_effectiveness;
DROP VIEW monitoring_effectiveness_signals;
"""


class Migration(migrations.Migration):
    dependencies = [("positions", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
