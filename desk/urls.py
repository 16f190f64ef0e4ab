"""Routes of the desk."""

from __future__ import annotations

from django.urls import path

from desk import switch_views, views

app_name = "desk"
urlpatterns = [
    path("", views.desk, name="desk"),
    path("api/v1/signals/<str:token>/", views.signal_webhook, name="signal_webhook"),
    path("switches/", switch_views.page, name="switches"),
    path("switches/facts/", switch_views.facts, name="switch_facts"),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path("metrics", views.metrics, name="metrics"),
]
