"""Django's PostgreSQL backend, which starts the embedded server on the first connection that finds none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from django.db.backends.postgresql import base

from . import ensure_running

CANNOT_CONNECT_NOW = "57P03"  # the server answered, but is still starting or recovering


class DatabaseWrapper(base.DatabaseWrapper):
    """`ENGINE = "config.embedded_postgres"`; `DATA_DIR` in the database settings says where it lives."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> psycopg.Connection[Any]:
        try:
            return super().get_new_connection(conn_params)
        except psycopg.OperationalError as error:
            # An SQLSTATE means that a server answered (wrong role, too many clients): starting one would not help.
            if getattr(error, "sqlstate", None) not in (None, CANNOT_CONNECT_NOW):
                raise
        ensure_running(Path(self.settings_dict["DATA_DIR"]))
        return super().get_new_connection(conn_params)
