"""The application's name, and what it adds to the floor below."""

from django.apps import AppConfig


class PositionsConfig(AppConfig):
    """Registers position management, what happens to positions before decisions, and what must be watched and swept."""

    name = "positions"

    def ready(self) -> None:
        from monitoring import controls, handlers, sweeps, watchlist
        from monitoring.models.schedules import WorkflowType
        from positions import closes, mechanical, orders, reconciliation, sweep, watching
        from positions.position_workflow import PositionHandler

        handlers.register(WorkflowType.POSITION_MANAGEMENT, PositionHandler())
        handlers.before_decisions(closes.on_close)
        handlers.before_decisions(mechanical.on_close)
        controls.report_in_flight(orders.in_flight)
        watchlist.register(watching.open_positions)
        sweeps.register(sweep.requeue)
        sweeps.register_always(reconciliation.enqueue_due)
