"""Who may draw and run sessions: operators, trader-owners and administrators; viewers look."""

from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

LOOKING = ("view_workflowsession", "view_workflowexecution")
DRAWING = (*LOOKING, "add_workflowsession", "change_workflowsession", "delete_workflowsession")


def grant(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    config = apps.get_app_config("workflows")
    config.models_module = True  # Django makes permissions only after all migrations
    create_permissions(config, apps=apps, verbosity=0)
    config.models_module = None
    permissions = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="workflows")
    for name, codes in (("viewer", LOOKING), ("operator", DRAWING), ("trader-owner", DRAWING), ("administrator", DRAWING)):
        if group := apps.get_model("auth", "Group").objects.filter(name=name).first():
            group.permissions.add(*permissions.filter(codename__in=codes))


class Migration(migrations.Migration):
    dependencies = [("desk", "0003_api_tokens"), ("workflows", "0002_row_level_security")]
    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
