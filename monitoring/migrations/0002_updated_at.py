"""Keep `updated_at` of schedules true whoever writes them."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := app_now();
    RETURN NEW;
END $$;
CREATE TRIGGER workflow_schedules_updated_at BEFORE UPDATE ON workflow_schedules
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
"""
BACKWARD = """
DROP TRIGGER workflow_schedules_updated_at ON workflow_schedules;
DROP FUNCTION touch_updated_at();
"""


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
