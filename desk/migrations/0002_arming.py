"""Administrators may give accounts their API keys and arm them."""

from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def grant(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    config = apps.get_app_config("positions")
    config.models_module = True  # Django makes permissions only after all migrations
    create_permissions(config, apps=apps, verbosity=0)
    config.models_module = None
    permission = apps.get_model("auth", "Permission").objects.get(codename="arm_exchangeaccount")
    group = apps.get_model("auth", "Group").objects.filter(name="administrator").first()
    if group:
        group.permissions.add(permission)


class Migration(migrations.Migration):
    dependencies = [("desk", "0001_groups"), ("positions", "0007_exchange_accounts")]
    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
