"""Wake the listener when a schedule or a trader changes what has to be watched."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION notify_watchlist() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('watchlist', '');
    RETURN NULL;
END $$;
CREATE TRIGGER schedules_watchlist AFTER INSERT OR UPDATE OF is_active, symbol, interval, market ON workflow_schedules
    FOR EACH STATEMENT EXECUTE FUNCTION notify_watchlist();
CREATE TRIGGER traders_watchlist AFTER INSERT OR UPDATE OF state, symbols, interval, market ON traders
    FOR EACH STATEMENT EXECUTE FUNCTION notify_watchlist();
"""
BACKWARD = """
DROP TRIGGER traders_watchlist ON traders;
DROP TRIGGER schedules_watchlist ON workflow_schedules;
DROP FUNCTION notify_watchlist();
"""


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0004_append_only")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
