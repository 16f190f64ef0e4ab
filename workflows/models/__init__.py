"""Tables of the sessions. PostgreSQL itself keeps one user's rows from another's: see `workflows.rows`."""

from .executions import WorkflowExecution
from .sessions import WorkflowSession

__all__ = ["WorkflowExecution", "WorkflowSession"]
