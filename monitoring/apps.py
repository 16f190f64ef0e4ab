"""The application's name and its handler."""

from django.apps import AppConfig
from django.core.checks import register


class MonitoringConfig(AppConfig):
    """Registers setup monitoring with the engine, and what is swept; the floors above register what they add in their own `ready`."""

    name = "monitoring"

    def ready(self) -> None:
        from monitoring import backlog, delivery, handlers, rollup, sweeps
        from monitoring.asking import checks
        from monitoring.models.schedules import WorkflowType
        from monitoring.setup_workflow import SetupHandler

        handlers.register(WorkflowType.SIGNAL_MONITORING, SetupHandler())
        sweeps.register(delivery.requeue)
        sweeps.register(rollup.sweep)
        sweeps.register_always(backlog.watch)
        register(checks.check_models)
