"""
Row-level security on sessions and executions, its roles, the keys that hold the owner, and `updated_at`.

Three roles that nobody logs in as: `desk_web` acts for the user named in `app.user_id`, `desk_jobs` for the background
jobs, `desk_reader` for people who may see all. The application's own role may become each of them, and sees nothing as itself.
"""

from django.db import migrations

ROLES = """
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['desk_web', 'desk_jobs', 'desk_reader'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOBYPASSRLS', wanted);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN NULL;  -- somebody else made it just now
                WHEN insufficient_privilege THEN
                    RAISE EXCEPTION 'the role % is missing, and % may not create it', wanted, current_user
                    USING HINT = format('As a superuser: CREATE ROLE %I NOLOGIN; GRANT %I TO %I;', wanted, wanted, current_user);
            END;
        END IF;
        IF NOT pg_has_role(current_user, wanted, 'MEMBER') THEN
            BEGIN
                EXECUTE format('GRANT %I TO %I', wanted, current_user);
            EXCEPTION WHEN insufficient_privilege THEN
                RAISE EXCEPTION '% may not become %', current_user, wanted
                USING HINT = format('As a superuser: GRANT %I TO %I;', wanted, current_user);
            END;
        END IF;
    END LOOP;
END $$;
"""

KEYS = """
ALTER TABLE workflow_sessions
    ADD CONSTRAINT session_root_of_the_same_user FOREIGN KEY (root_id, user_id) REFERENCES workflow_sessions (id, user_id)
        DEFERRABLE INITIALLY IMMEDIATE,
    ADD CONSTRAINT session_parent_of_the_same_user FOREIGN KEY (parent_id, user_id) REFERENCES workflow_sessions (id, user_id)
        ON DELETE SET NULL (parent_id) DEFERRABLE INITIALLY IMMEDIATE;
ALTER TABLE workflow_executions
    ADD CONSTRAINT execution_session_of_the_same_user FOREIGN KEY (session_id, user_id) REFERENCES workflow_sessions (id, user_id)
        ON DELETE CASCADE;
CREATE INDEX session_parent ON workflow_sessions (parent_id) WHERE parent_id IS NOT NULL;
CREATE TRIGGER workflow_sessions_updated_at BEFORE UPDATE OF name, description, nodes, edges, trigger_settings, status, tags, folder,
    is_template, is_current_version ON workflow_sessions FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
"""

# `current_user` stands in the policies of jobs and readers as well, since before PostgreSQL 16 a member of a role always inherits it.
POLICIES = """
GRANT SELECT ON installation TO desk_web, desk_jobs, desk_reader;  -- the app clock, for defaults
GRANT SELECT, INSERT, UPDATE, DELETE ON workflow_sessions, workflow_executions TO desk_web, desk_jobs;
GRANT SELECT ON workflow_sessions, workflow_executions TO desk_reader;

ALTER TABLE workflow_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE workflow_sessions FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_executions ENABLE ROW LEVEL SECURITY;
ALTER TABLE workflow_executions FORCE ROW LEVEL SECURITY;

CREATE POLICY own ON workflow_sessions TO desk_web
    USING (current_user = 'desk_web' AND user_id = nullif(current_setting('app.user_id', true), '')::uuid)
    WITH CHECK (current_user = 'desk_web' AND user_id = nullif(current_setting('app.user_id', true), '')::uuid);
CREATE POLICY templates ON workflow_sessions FOR SELECT TO desk_web USING (current_user = 'desk_web' AND is_template);
CREATE POLICY jobs ON workflow_sessions TO desk_jobs USING (current_user = 'desk_jobs') WITH CHECK (current_user = 'desk_jobs');
CREATE POLICY readers ON workflow_sessions FOR SELECT TO desk_reader USING (current_user = 'desk_reader');

CREATE POLICY own ON workflow_executions TO desk_web
    USING (current_user = 'desk_web' AND user_id = nullif(current_setting('app.user_id', true), '')::uuid)
    WITH CHECK (current_user = 'desk_web' AND user_id = nullif(current_setting('app.user_id', true), '')::uuid);
CREATE POLICY jobs ON workflow_executions TO desk_jobs USING (current_user = 'desk_jobs') WITH CHECK (current_user = 'desk_jobs');
CREATE POLICY readers ON workflow_executions FOR SELECT TO desk_reader USING (current_user = 'desk_reader');
"""
BACKWARD = """
DROP POLICY own ON workflow_sessions; DROP POLICY templates ON workflow_sessions; DROP POLICY jobs ON workflow_sessions;
DROP POLICY readers ON workflow_sessions;
DROP POLICY own ON workflow_executions; DROP POLICY jobs ON workflow_executions; DROP POLICY readers ON workflow_executions;
REVOKE ALL ON workflow_sessions, workflow_executions, installation FROM desk_web, desk_jobs, desk_reader;
DROP TRIGGER workflow_sessions_updated_at ON workflow_sessions;
DROP INDEX session_parent;
ALTER TABLE workflow_executions DROP CONSTRAINT execution_session_of_the_same_user;
ALTER TABLE workflow_sessions DROP CONSTRAINT session_parent_of_the_same_user, DROP CONSTRAINT session_root_of_the_same_user;
"""


class Migration(migrations.Migration):
    dependencies = [("workflows", "0001_initial"), ("monitoring", "0002_updated_at")]
    operations = [
        migrations.RunSQL(ROLES, migrations.RunSQL.noop),
        migrations.RunSQL(KEYS + POLICIES, BACKWARD),
    ]
