"""
Give events their place in commit order, and wake whoever reads them.

The deferred trigger runs at commit under one advisory lock, which is held until the commit is done: the order of
`seq` is the order in which transactions became visible. The first row's trigger numbers all rows of its
transaction in one statement; the triggers of the others find theirs numbered.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION event_mark_transaction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.seq := NULL;
    NEW.xid := pg_current_xact_id()::text::bigint;
    RETURN NEW;
END $$;

CREATE SEQUENCE event_seq;

CREATE FUNCTION event_publish() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM events WHERE id = NEW.id AND seq IS NULL) THEN
        RETURN NULL;
    END IF;
    PERFORM pg_advisory_xact_lock(7411, 1);
    UPDATE events SET seq = numbered.seq
      FROM (SELECT id, nextval('event_seq') AS seq
              FROM (SELECT id FROM events WHERE seq IS NULL AND xid = NEW.xid ORDER BY id) waiting) numbered
     WHERE events.id = numbered.id;
    PERFORM pg_notify('events', '');  -- a hint to look; the rows are read by seq
    RETURN NULL;
END $$;

CREATE TRIGGER event_mark_transaction BEFORE INSERT ON events
    FOR EACH ROW EXECUTE FUNCTION event_mark_transaction();
CREATE CONSTRAINT TRIGGER event_publish AFTER INSERT ON events
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION event_publish();
"""
BACKWARD = """
DROP TRIGGER event_publish ON events;
DROP TRIGGER event_mark_transaction ON events;
DROP FUNCTION event_publish();
DROP FUNCTION event_mark_transaction();
DROP SEQUENCE event_seq;
"""


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0002_updated_at")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
