"""Settings of the tests: a database cluster of their own, loopback markets, the rules analyst, cheap passwords."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
for name in ("DATABASE_URL", "ANALYST", "CLOCK_SPEED", "CLOCK_EPOCH", "MARKET"):
    os.environ.pop(name, None)
if "TEST_DATABASE_URL" in os.environ:  # another server than the embedded one, to test against an older PostgreSQL
    os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]
os.environ.setdefault("DATA_DIR", str(ROOT / "var" / "test"))
os.environ["LLM_MODELS_FILE"] = str(ROOT / "tests" / "models.toml")
os.environ["MARKET_WS_URL"] = "ws://127.0.0.1:1"
os.environ["MARKET_REST_URL"] = "http://127.0.0.1:1"

from config.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
