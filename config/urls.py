"""Routes: the desk's pages, its API and the admin."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("desk.urls")),
    path("api/v1/", include("desk.api.urls")),
]
