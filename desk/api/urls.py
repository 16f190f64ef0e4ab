"""Where the API hangs; the webhook of signals stands before it."""

from __future__ import annotations

from django.urls import path

from desk.api import api

urlpatterns = [path("", api.urls)]
