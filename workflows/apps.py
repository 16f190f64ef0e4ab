"""The application's name, and what it adds to the floor below."""

from django.apps import AppConfig


class WorkflowsConfig(AppConfig):
    """Registers what closes start, what has to be watched for it, and what must be swept."""

    name = "workflows"

    def ready(self) -> None:
        from monitoring import handlers, retention, sweeps, watchlist
        from workflows import closes, execute, executions

        handlers.before_decisions(closes.on_close)
        watchlist.register(closes.watched)
        sweeps.register(closes.sweep)
        sweeps.register(execute.sweep)
        retention.register("session executions", days=90, prune=lambda before: executions.clear_all(before=before))
