from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("monitoring", "0006_screened_since"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="workflowschedule",
            index=models.Index(
                condition=models.Q(("is_active", False)), fields=["symbol", "interval", "stopped_at"], name="schedule_stopped_by_symbol"
            ),
        ),
    ]
