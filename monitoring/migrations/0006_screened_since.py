"""From when a trader is owed screening, and interval lengths for SQL."""

from django.db import migrations, models

import monitoring.fields

FORWARD = """
CREATE FUNCTION interval_ms(name text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT left(name, -1)::bigint * CASE right(name, 1) WHEN 'm' THEN 60000 WHEN 'h' THEN 3600000 WHEN 'd' THEN 86400000 END
$$;
CREATE FUNCTION to_ms(moment timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT floor(extract(epoch FROM moment) * 1000)::bigint
$$;
CREATE FUNCTION restart_screening() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.screened_since := app_now();
    RETURN NEW;
END $$;
CREATE TRIGGER traders_restart_screening BEFORE UPDATE ON traders FOR EACH ROW
    WHEN ((OLD.state, OLD.market, OLD.interval, OLD.symbols, OLD.conditions)
          IS DISTINCT FROM (NEW.state, NEW.market, NEW.interval, NEW.symbols, NEW.conditions))
    EXECUTE FUNCTION restart_screening();
"""
BACKWARD = """
DROP TRIGGER traders_restart_screening ON traders;
DROP FUNCTION restart_screening();
DROP FUNCTION to_ms(timestamptz);
DROP FUNCTION interval_ms(text);
"""


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0005_watchlist_notice")]
    operations = [
        migrations.AddField(
            "trader",
            "screened_since",
            models.DateTimeField(db_default=monitoring.fields.AppNow(), editable=False),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
