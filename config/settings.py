"""Django's settings. Every value that may differ between two machines comes from the environment through `config.env`."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from config import embedded_postgres, env

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("DATA_DIR", default=str(BASE_DIR / "var"))).resolve()
PROCESS = env.choice("DESK_PROCESS", default="command", allowed={"command", "web"})

# --- Django ---------------------------------------------------------------------------------------------------------
DEBUG = env.boolean("DJANGO_DEBUG", default=False)
SECRET_KEY = env.secret("DJANGO_SECRET_KEY") or env.generated_secret(DATA_DIR / "secret_key")
ALLOWED_HOSTS = env.words("DJANGO_ALLOWED_HOSTS", default="127.0.0.1,localhost,[::1]")
CSRF_TRUSTED_ORIGINS = env.words("DJANGO_CSRF_TRUSTED_ORIGINS")
HTTPS = env.boolean("DJANGO_HTTPS", default=False)

INSTALLED_APPS = [
    "desk",
    "workflows",
    "positions",
    "monitoring",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "channels",
    "django_q",
    "ninja",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "desk.middleware.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "desk.shell.context",
            ]
        },
    }
]
AUTH_USER_MODEL = "monitoring.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # WhiteNoise warns about a folder that is not there
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True  # served straight from the checkout: no collectstatic before the first start

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.choice("LOG_LEVEL", default="INFO", allowed={"DEBUG", "INFO", "WARNING", "ERROR"})},
    "loggers": {"django-q": {"level": "WARNING"}, "opentelemetry": {"level": "ERROR"}},
}

# --- Database -------------------------------------------------------------------------------------------------------
# Under ASGI every request may run on a thread of its own, so the web process must not keep connections; the
# long-running loops keep theirs, and never use a pool, which would be shared across the queue's forks.
_connection_age = 0 if PROCESS == "web" else 60
DATABASE_URL = env.secret("DATABASE_URL")
EMBEDDED_DATA_DIR = embedded_postgres.data_directory(DATA_DIR)
if DATABASE_URL:
    if urlsplit(DATABASE_URL).scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured("DATABASE_URL must begin with postgresql://; no other database is supported")
    _database: dict[str, Any] = dict(dj_database_url.parse(DATABASE_URL))
else:
    _database = {
        "ENGINE": "config.embedded_postgres",
        "HOST": str(embedded_postgres.socket_directory(EMBEDDED_DATA_DIR)),
        "NAME": "app",
        "USER": "app",
        "DATA_DIR": EMBEDDED_DATA_DIR,
    }
DATABASES = {"default": {**_database, "CONN_MAX_AGE": _connection_age, "CONN_HEALTH_CHECKS": bool(_connection_age)}}

# --- Market data ----------------------------------------------------------------------------------------------------
# Public addresses that need no key; data-*.binance.vision serve the same market data as the trading hosts.
MARKET_ADDRESSES = {
    "binance": ("wss://data-stream.binance.vision", "https://data-api.binance.vision"),
    "binance_futures": ("wss://fstream.binance.com", "https://fapi.binance.com"),
    "bybit": ("wss://stream.bybit.com", "https://api.bybit.com"),
    "bybit_spot": ("wss://stream.bybit.com", "https://api.bybit.com"),
    "okx": ("wss://ws.okx.com:8443", "https://www.okx.com"),
    "polymarket": ("wss://ws-subscriptions-clob.polymarket.com", "https://clob.polymarket.com"),
}
MARKET = env.choice("MARKET", default="binance", allowed=MARKET_ADDRESSES)


CATALOGS = {"polymarket": "https://gamma-api.polymarket.com"}  # where instruments are listed, when that is elsewhere


def _addresses() -> dict[str, dict[str, str]]:
    found = {}
    for market, (ws, rest) in MARKET_ADDRESSES.items():
        prefix = "MARKET" if market == MARKET else market.upper()
        found[market] = {
            "ws": env.url(f"{prefix}_WS_URL", default=ws, schemes={"ws", "wss"}),
            "rest": env.url(f"{prefix}_REST_URL", default=rest, schemes={"http", "https"}),
        }
        if market in CATALOGS:
            found[market]["catalog"] = env.url(f"{prefix}_CATALOG_URL", default=CATALOGS[market], schemes={"http", "https"})
    return found


def is_simulated(url: str) -> bool:
    """Whether an address can only be a stand-in: a loopback or private host, never an exchange's own."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host


MARKETS = _addresses()
MARKET_IS_SIMULATED = all(is_simulated(url) for url in MARKETS[MARKET].values())

# --- Clock ----------------------------------------------------------------------------------------------------------
CLOCK_SPEED = env.decimal("CLOCK_SPEED", default="1", minimum="0.1")
CLOCK_EPOCH = env.decimal("CLOCK_EPOCH", default="0", minimum="0")  # unix seconds
if CLOCK_SPEED != 1 and not CLOCK_EPOCH:
    raise ImproperlyConfigured(f"CLOCK_SPEED is {CLOCK_SPEED}, which needs CLOCK_EPOCH: the unix second at which both clocks agreed")
if CLOCK_SPEED != 1 and not MARKET_IS_SIMULATED:
    raise ImproperlyConfigured(
        f"CLOCK_SPEED is {CLOCK_SPEED}, but MARKET_WS_URL and MARKET_REST_URL are not both a simulated exchange's: only 1 is allowed"
    )

# --- Analyst --------------------------------------------------------------------------------------------------------
ANALYST = env.choice("ANALYST", default="rules", allowed={"rules", "llm"})
LLM_BASE_URL = env.url("LLM_BASE_URL", default="", schemes={"http", "https"})
LLM_API_KEY = env.secret("LLM_API_KEY")
LLM_MODEL = env.text("LLM_MODEL")
LLM_MODELS_FILE = env.text("LLM_MODELS_FILE")
LLM_MAX_ATTEMPTS = env.integer("LLM_MAX_ATTEMPTS", default=3, minimum=1, maximum=10)
LLM_TIMEOUT_SECONDS = env.integer("LLM_TIMEOUT_SECONDS", default=60, minimum=1, maximum=600)
LLM_MAX_CONCURRENCY = env.integer("LLM_MAX_CONCURRENCY", default=200, minimum=1, maximum=100_000)
LLM_REQUESTS_PER_MINUTE = env.integer("LLM_REQUESTS_PER_MINUTE", default=0, minimum=0, maximum=10_000_000)  # 0: no limit
DAILY_BUDGET_USD = env.decimal("DAILY_BUDGET_USD", default="0", minimum="0")  # 0: no limit
LLM_FILES = [BASE_DIR / "config" / "llm_models.toml", *([Path(LLM_MODELS_FILE)] if LLM_MODELS_FILE else [])]
if ANALYST == "llm" and not (LLM_BASE_URL and LLM_MODEL):
    raise ImproperlyConfigured("ANALYST is llm, which needs LLM_BASE_URL (up to and including /v1) and LLM_MODEL")

# --- Traces ---------------------------------------------------------------------------------------------------------
# The names are OpenTelemetry's own. Braintrust: https://api.braintrust.dev/otel with "Authorization=Bearer KEY, x-bt-parent=…".
OTEL_EXPORTER_OTLP_ENDPOINT = env.url("OTEL_EXPORTER_OTLP_ENDPOINT", default="", schemes={"http", "https"})
OTEL_EXPORTER_OTLP_HEADERS = env.pairs("OTEL_EXPORTER_OTLP_HEADERS")
TRACE_CONTENT = env.boolean("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", default=False)

# --- Sessions -------------------------------------------------------------------------------------------------------
SESSION_HTTP_HOSTS = {host.lower() for host in env.words("SESSION_HTTP_HOSTS")}  # that HTTP GET nodes may ask; none unless named

# --- Exchange accounts ----------------------------------------------------------------------------------------------
CREDENTIALS_KEY = env.secret("CREDENTIALS_KEY") or env.generated_secret(DATA_DIR / "credentials_key")
# Where signed orders go, by the kind of account; empty: the exchange's own address.
TRADING_URLS = {
    "binance": env.url("BINANCE_TRADING_URL", default="", schemes={"http", "https"}),
    "bybit": env.url("BYBIT_TRADING_URL", default="", schemes={"http", "https"}),
    "okx": env.url("OKX_TRADING_URL", default="", schemes={"http", "https"}),
}
SIMULATED_TRADING = frozenset(kind for kind, url in TRADING_URLS.items() if url and is_simulated(url))
# How long after an order was sent "no such order" proves nothing: its time window, the server's time-out, and a margin.
# None: as long as each exchange needs.
_settles = env.text("ORDER_SETTLES_SECONDS", default="")
ORDER_SETTLES_SECONDS = float(env.decimal("ORDER_SETTLES_SECONDS", default="", minimum="0")) if _settles else None
UNKNOWN_AT_EXCHANGE = env.choice("UNKNOWN_AT_EXCHANGE", default="report", allowed={"report", "adopt"})

# --- Queue ----------------------------------------------------------------------------------------------------------
# A job may wait in a worker's memory for timeout x ceil((queue_limit + 1) / workers) with its retry clock running.
# `retry` lies above that wait plus `timeout`, else a job that only waited would be delivered twice.
QUEUE_WORKERS = env.integer("QUEUE_WORKERS", default=4, minimum=1, maximum=64)
JOB_TIMEOUT_S = 180  # above the largest decision deadline (120 s) and its records
Q_CLUSTER = {
    "name": "desk",
    "orm": "default",
    "broker_class": "config.broker.PgBroker",
    "workers": QUEUE_WORKERS,
    "queue_limit": QUEUE_WORKERS,
    "bulk": 1,
    "timeout": JOB_TIMEOUT_S,
    "retry": JOB_TIMEOUT_S * 3 + 60,
    "max_attempts": 4,
    "ack_failures": False,
    "save_limit": -1,  # our own tables are the history; anything else locks all successes on every save
    "catch_up": False,
    "recycle": 500,
    "poll": 1.0,
}

# --- Web ------------------------------------------------------------------------------------------------------------
WEB_HOST = env.text("WEB_HOST", default="127.0.0.1")
FORMING_CANDLE_SECONDS = env.integer("FORMING_CANDLE_SECONDS", default=3, minimum=0, maximum=60)  # between questions; 0: none is shown
WEB_PORT = env.integer("WEB_PORT", default=8000, minimum=1, maximum=65535)
