"""Paths of the sockets."""

from __future__ import annotations

from django.urls import path, re_path

from desk.feed.consumers import FeedConsumer, UnknownPath

websocket_urlpatterns = [
    path("ws/feed/", FeedConsumer.as_asgi()),
    re_path(r"", UnknownPath.as_asgi()),
]
