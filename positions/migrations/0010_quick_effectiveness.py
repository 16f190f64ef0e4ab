from django.db import migrations

# The same figures as before, without looking up the last question of every signal, which none of them needs.
FORWARD = """
CREATE OR REPLACE VIEW monitoring_effectiveness WITH (security_invoker = true) AS
SELECT trader_id,
       count(*)::int AS total_monitored,
       count(*) FILTER (WHERE entered)::int AS entered_trades,
       count(*) FILTER (WHERE abandoned)::int AS abandoned_setups,
       avg(hours_to_entry) FILTER (WHERE entered) AS avg_hours_to_entry,
       (count(*) FILTER (WHERE won))::numeric / nullif(count(won), 0) AS win_rate_after_monitoring
  FROM (SELECT s.trader_id,
               s.position_opened_at IS NOT NULL AND s.status IN ('in_position', 'closed') AS entered,
               s.status = 'expired' AS abandoned,
               extract(epoch FROM s.position_opened_at - s.monitoring_started_at) / 3600 AS hours_to_entry,
               CASE WHEN p.status = 'closed' THEN p.realized_pnl - p.fees > 0 END AS won
          FROM signals s LEFT JOIN positions p ON p.signal_id = s.id
         WHERE s.monitoring_started_at IS NOT NULL) monitored
 GROUP BY trader_id
"""
BACKWARD = """
CREATE OR REPLACE VIEW monitoring_effectiveness WITH (security_invoker = true) AS
SELECT trader_id,
       count(*)::int AS total_monitored,
       count(*) FILTER (WHERE entered)::int AS entered_trades,
       count(*) FILTER (WHERE abandoned)::int AS abandoned_setups,
       avg(hours_to_entry) FILTER (WHERE entered) AS avg_hours_to_entry,
       (count(*) FILTER (WHERE won))::numeric / nullif(count(won), 0) AS win_rate_after_monitoring
  FROM monitoring_effectiveness_signals
 GROUP BY trader_id
"""


class Migration(migrations.Migration):
    dependencies = [("positions", "0009_newest_first")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
