"""Tokens of the API: made, looked up, revoked."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from desk.models import ApiToken
from monitoring import audit
from monitoring.audit import Actor
from monitoring.models import User

PREFIX = "desk_"
NOTED_EVERY = timedelta(minutes=1)  # a busy program must not write a row with every call


def make(*, user: User, name: str, actor: Actor, now: datetime) -> str:
    """The text of a new token, which is nowhere kept."""
    text = PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        token = ApiToken.objects.create(user=user, name=name, token_hash=_hash(text))
        audit.record(action="api_token_made", subject=("api_token", str(token.id)), actor=actor, now=now, reason=name)
    return text


def user_of(text: str, *, now: datetime) -> User | None:
    """Whose token it is; None when it is nobody's, revoked, or its user may not log in."""
    token = ApiToken.objects.select_related("user").filter(token_hash=_hash(text), revoked_at__isnull=True).first()
    if token is None or not token.user.is_active:
        return None
    ApiToken.objects.filter(Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - NOTED_EVERY), id=token.id).update(last_used_at=now)
    return token.user


def revoke(token: ApiToken, *, actor: Actor, now: datetime) -> None:
    """It opens nothing any more."""
    with transaction.atomic():
        ApiToken.objects.filter(id=token.id, revoked_at__isnull=True).update(revoked_at=now)
        audit.record(action="api_token_revoked", subject=("api_token", str(token.id)), actor=actor, now=now, reason=token.name)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
