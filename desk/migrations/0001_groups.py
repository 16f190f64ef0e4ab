"""The four roles. All their members are staff; who may not see everything sees their own traders and what hangs on them."""

from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

APPS = ("monitoring", "positions")
OWN = (
    "view_trader", "change_trader", "view_signal", "view_signalanalysis", "view_monitoringdecision", "view_workflowschedule",
    "view_workflowrun", "view_screeningcheck", "view_candle", "view_absentcandle", "view_instrument", "view_position", "view_order",
    "view_fill", "view_positionmanagementdecision", "view_exchangeaccount", "view_tradingprofile",
)  # fmt: skip
OPERATING = ("move_switch", "change_workflowschedule", "manage_position", "add_signal")


def make_groups(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for label in APPS:  # Django makes permissions only after all migrations
        config = apps.get_app_config(label)
        config.models_module = True
        create_permissions(config, apps=apps, verbosity=0)
        config.models_module = None
    groups, permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    of_the_desk = permission.objects.filter(content_type__app_label__in=APPS)
    viewing = of_the_desk.filter(codename__startswith="view_")
    people = permission.objects.filter(content_type__app_label="monitoring", content_type__model="user")
    for name, permissions in (
        ("viewer", viewing),
        ("operator", viewing | of_the_desk.filter(codename__in=OPERATING)),
        ("trader-owner", of_the_desk.filter(codename__in=OWN)),
        ("administrator", of_the_desk | people),
    ):
        group, _ = groups.objects.get_or_create(name=name)
        group.permissions.add(*permissions)


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("monitoring", "0009_move_switch"),
        ("positions", "0004_manage_position"),
    ]
    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
