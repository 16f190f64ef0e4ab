"""The application's name."""

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    """Registered in INSTALLED_APPS; the floors above register what they add in their own `ready`."""

    name = "monitoring"
