"""The web process: pages and admin over HTTP, the live feed over WebSocket."""

from __future__ import annotations

import os

# Set before the settings are read: the web process keeps no database connections between requests.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ["DESK_PROCESS"] = "web"

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application

http = get_asgi_application()

from desk.routing import websocket_urlpatterns

application = ProtocolTypeRouter(
    {"http": http, "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)))}
)
