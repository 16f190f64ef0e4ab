"""Tokens for programs: one table of the top floor, since what they open is the desk's own API."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from monitoring import fields


class ApiToken(models.Model):
    """A program's key to the API. It acts as its user and is kept as a hash: the text is shown once, when it is made."""

    id = fields.uuid_key()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=120)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)  # SHA-256; the token itself is random enough
    created_at = fields.created_at()
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        db_table = "api_tokens"
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="token_name_once_per_user")]

    def __str__(self) -> str:
        return f"{self.user}: {self.name}"
