"""Events and the audit log are never rewritten: an event only receives its place in commit order. Old rows may be pruned."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION refuse_rewrite() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER events_append_only BEFORE UPDATE ON events FOR EACH ROW
    WHEN (OLD.seq IS NOT NULL OR (to_jsonb(OLD) - 'seq') IS DISTINCT FROM (to_jsonb(NEW) - 'seq'))
    EXECUTE FUNCTION refuse_rewrite();
CREATE TRIGGER audit_log_append_only BEFORE UPDATE ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse_rewrite();
"""
BACKWARD = """
DROP TRIGGER audit_log_append_only ON audit_log;
DROP TRIGGER events_append_only ON events;
DROP FUNCTION refuse_rewrite();
"""


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0003_event_order")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
