"""Routes of the desk."""

from __future__ import annotations

from django.urls import path

from desk import account_views, audit_views, position_views, session_views, stats_views, switch_views, trader_views, views, workflow_views

app_name = "desk"
urlpatterns = [
    path("", views.desk, name="desk"),
    path("api/v1/signals/<str:token>/", views.signal_webhook, name="signal_webhook"),
    path("sessions/", session_views.page, name="sessions"),
    path("sessions/new/", session_views.new, name="session_new"),
    path("sessions/templates/<str:key>/use/", session_views.use_template, name="session_use_template"),
    path("sessions/<uuid:root>/edit/", session_views.editor, name="session_editor"),
    path("switches/", switch_views.page, name="switches"),
    path("switches/facts/", switch_views.facts, name="switch_facts"),
    path("workflows/<uuid:key>/", workflow_views.workflow, name="workflow"),
    path("workflows/<uuid:key>/timeline/", workflow_views.timeline, name="workflow_timeline"),
    path("workflows/<uuid:key>/chart/", workflow_views.chart, name="workflow_chart"),
    path("workflows/<uuid:key>/forming/", workflow_views.forming_candle, name="workflow_forming"),
    path("workflows/<uuid:key>/closes/<uuid:run_key>/", workflow_views.close, name="workflow_close"),
    path("workflows/<uuid:key>/steer/", workflow_views.steer, name="workflow_steer"),
    path("positions/<uuid:key>/", position_views.position, name="position"),
    path("positions/<uuid:key>/chart/", position_views.chart, name="position_chart"),
    path("positions/<uuid:key>/act/", position_views.act, name="position_act"),
    path("accounts/<uuid:key>/", account_views.account, name="account"),
    path("accounts/<uuid:key>/act/", account_views.act, name="account_act"),
    path("traders/<uuid:key>/", trader_views.trader, name="trader"),
    path("traders/<uuid:key>/curves/", trader_views.curves, name="trader_curves"),
    path("stats/", stats_views.page, name="stats"),
    path("audit/", audit_views.page, name="audit"),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path("metrics", views.metrics, name="metrics"),
]
