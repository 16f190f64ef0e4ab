"""People who use the desk."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser

from monitoring import fields


class User(AbstractUser):
    """A person with a UUID key, so that ids in URLs and logs tell nothing about others."""

    id = fields.uuid_key()

    class Meta:
        db_table = "users"
