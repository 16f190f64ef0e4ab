"""Who calls, and what they may."""

from __future__ import annotations

from typing import Any, cast

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from ninja.security import HttpBearer, SessionAuth

from desk import tokens
from monitoring import clock
from monitoring.audit import Actor
from monitoring.models import User

VIEW, CHANGE = "workflows.view_workflowsession", "workflows.change_workflowsession"


class TokenAuth(HttpBearer):
    """A program with one of its user's tokens."""

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        user = tokens.user_of(token, now=clock.now())
        if user is not None:
            request.user = user
        return user


class LoginAuth(SessionAuth):
    """A person on the desk's pages: logged in, staff, and with the page's CSRF token when something changes."""

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        return request.user if request.user.is_authenticated and request.user.is_staff else None


by_token, by_login = TokenAuth(), LoginAuth(csrf=True)


def caller(request: HttpRequest, permission: str) -> User:
    """
    The user who calls.

    :raises PermissionDenied: without the permission
    """
    user: Any = request.user
    if not user.has_perm(permission):
        raise PermissionDenied(f"{user.get_username()} lacks {permission}")
    return cast("User", user)


def actor(request: HttpRequest) -> Actor:
    """The caller for the audit log."""
    user: Any = request.user
    return Actor(user.get_username(), "api", user_id=user.id, address=request.META.get("REMOTE_ADDR"))
