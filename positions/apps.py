"""The application's name."""

from django.apps import AppConfig


class PositionsConfig(AppConfig):
    """Registered in INSTALLED_APPS."""

    name = "positions"
