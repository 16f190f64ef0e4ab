"""The application's name."""

from django.apps import AppConfig


class WorkflowsConfig(AppConfig):
    """Registered in INSTALLED_APPS."""

    name = "workflows"
