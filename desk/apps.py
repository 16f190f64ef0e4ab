"""The application's name."""

from django.apps import AppConfig


class DeskConfig(AppConfig):
    """Registered in INSTALLED_APPS."""

    name = "desk"
