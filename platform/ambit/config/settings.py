"""Every setting, read once from the environment, failing closed.

Nothing set: the embedded parts of AMBIT_DATA_DIR. AMBIT_MODE=production: a missing value stops the start.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from ambit.admin.theme import UNFOLD as UNFOLD
from ambit.config.adapters import AMBIT_ADAPTERS_CHECK_S as AMBIT_ADAPTERS_CHECK_S
from ambit.config.adapters import AMBIT_LORA_MAX_RANK as AMBIT_LORA_MAX_RANK
from ambit.config.adapters import adapters_dir, adapters_dir_of_servers, lora_base
from ambit.config.answering import *  # noqa: F403 - each is a setting
from ambit.config.answering import AMBIT_VLLM_MODEL
from ambit.config.embedded import Embedded
from ambit.config.env import (
    InvalidSetting,
    env_bool,
    env_int,
    env_required,
    env_str,
    env_url,
    read_calibration,
)
from ambit.corpus.languages import CONFIGURATIONS, primary_subtag

BASE_DIR = Path(__file__).resolve().parents[3]

AMBIT_MODE = env_str("AMBIT_MODE", "embedded")
if AMBIT_MODE not in {"embedded", "production"}:
    raise InvalidSetting(f"AMBIT_MODE must be embedded or production; it is {AMBIT_MODE!r}")
PRODUCTION = AMBIT_MODE == "production"
AMBIT_DATA_DIR = Path(env_str("AMBIT_DATA_DIR") or BASE_DIR / ".ambit").resolve()
AMBIT_PORT = env_int("AMBIT_PORT", default=8000, minimum=1)
EMBEDDED = Embedded(AMBIT_DATA_DIR)


def _production(name: str, why: str, embedded: Callable[[], str]) -> str:
    """Return the variable; only in embedded mode what the data directory gives instead."""
    return env_required(name, why=why) if PRODUCTION else (env_str(name) or embedded())


def _secret(name: str, why: str, key: str) -> str:
    if not PRODUCTION:
        return env_str(name) or EMBEDDED.secrets[key]
    value = env_required(name, why=why)
    if len(value) < 32:
        raise InvalidSetting(
            f"{name} is weak: give it at least 32 characters, for example from `openssl rand -base64 48`"
        )
    return value


SECRET_KEY = _secret("AMBIT_SECRET_KEY", "it signs sessions", "secret_key")
# Keys the hashes of API keys and of identifiers looked up by equality.
AMBIT_PEPPER = _secret("AMBIT_PEPPER", "it keys the hashes of API keys and identifiers", "pepper")
DEBUG = False
ALLOWED_HOSTS = [
    host.strip()
    for host in _production(
        "AMBIT_ALLOWED_HOSTS",
        "the host names people use, comma separated",
        lambda: "localhost,127.0.0.1,[::1]",
    ).split(",")
    if host.strip()
]
CSRF_TRUSTED_ORIGINS = [o.strip() for o in env_str("AMBIT_TRUSTED_ORIGINS").split(",") if o.strip()]

INSTALLED_APPS = [
    # Before unfold: its templates win, and unfold's own configuration would replace the site.
    "ambit.admin",
    "unfold.apps.BasicAppConfig",
    "ambit.config.apps.AdminSite",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "tenants",
    "ambit.audit",
    "ambit.access",
    "ambit.corpus",
    "ambit.adapters",
    "ambit.answers",
    "ambit.metering",
    "ambit.export",
    "ambit.notices",
    "ambit.erasure",
    "ambit.jobs",
    "ambit.config",
]
MIDDLEWARE = [
    "ambit.api.requests.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "ambit.admin.middleware.AdminScopeMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "ambit.config.urls"
ASGI_APPLICATION = "ambit.config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
APPEND_SLASH = False
AUTH_USER_MODEL = "tenants.Account"
AUTHENTICATION_BACKENDS = ["ambit.admin.signin.AccountBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = Path(env_str("AMBIT_STATIC_DIR") or AMBIT_DATA_DIR / "static")
WHITENOISE_USE_FINDERS = True
FILE_UPLOAD_HANDLERS = ["ambit.api.uploads.AnonymousTemporaryFileUploadHandler"]


def _database(url: str, *, pool: int = 0) -> dict[str, Any]:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    host = query.pop("host", "") or parts.hostname or ""
    options: dict[str, Any] = {**query, "connect_timeout": 5}
    if pool:
        options["pool"] = {"min_size": 1, "max_size": pool, "timeout": 10}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
        "TEST": {"MIRROR": None},
    }


# The application's statements that each request sends are planned once a connection.
AMBIT_PREPARED_STATEMENTS = env_bool("AMBIT_PREPARED_STATEMENTS", default=True)
AMBIT_DATABASE_POOL = env_int("AMBIT_DATABASE_POOL", default=8, minimum=0)
DATABASES = {
    # The application: subject to every policy, owns nothing.
    "default": _database(
        _production(
            "DATABASE_URL",
            "the application role's database",
            lambda: EMBEDDED.database_url("ambit_app"),
        ),
        pool=AMBIT_DATABASE_POOL,
    ),
}
# The other roles are configured only in the processes that need them: operator in the web process,
# dispatch and scrubber in the worker, sequencer in `keep_audit`, owner where migrations run.
for _alias, _name in (
    ("operator", "AMBIT_OPERATOR_DATABASE_URL"),
    ("dispatch", "AMBIT_DISPATCH_DATABASE_URL"),
    ("sequencer", "AMBIT_SEQUENCER_DATABASE_URL"),
    ("scrubber", "AMBIT_SCRUBBER_DATABASE_URL"),
    ("owner", "AMBIT_OWNER_DATABASE_URL"),
):
    _url = env_str(_name) or ("" if PRODUCTION else EMBEDDED.database_url(f"ambit_{_alias}"))
    if _url:
        DATABASES[_alias] = _database(_url)
DATABASE_ROUTERS = ["ambit.config.routers.RoleRouter"]

REDIS_URL = _production("REDIS_URL", "the broker", lambda: EMBEDDED.redis_url)
AMBIT_EMBED_URL = _production(
    "AMBIT_EMBED_URL", "the embedding service", lambda: EMBEDDED.embed_url
)
AMBIT_EMBED_KEY = env_str("AMBIT_EMBED_KEY")
AMBIT_EMBED_MODEL = env_str("AMBIT_EMBED_MODEL", "all-MiniLM-L6-v2")
# Whose stems a document's words are indexed by and a question's are looked for: all, or those named.
AMBIT_LANGUAGES = frozenset(
    tag.strip() for tag in env_str("AMBIT_LANGUAGES", ",".join(CONFIGURATIONS)).split(",")
)
if AMBIT_LANGUAGES - CONFIGURATIONS.keys():
    raise InvalidSetting(f"AMBIT_LANGUAGES must be some of {', '.join(CONFIGURATIONS)}")
# By which words are stemmed where no language is declared and none can be told; "und": as they stand.
AMBIT_LANGUAGE = env_str("AMBIT_LANGUAGE", "en")
if primary_subtag(AMBIT_LANGUAGE) != AMBIT_LANGUAGE:
    raise InvalidSetting(
        f"AMBIT_LANGUAGE must be a language's short tag such as en; it is {AMBIT_LANGUAGE!r}"
    )
# Up to so many visible rows a search scans them, which is exact; beyond, a graph of the tenant's own
# may be quicker. `manage.py calibrate_retrieval` measures the figure of this machine.
AMBIT_CALIBRATION = AMBIT_DATA_DIR / "retrieval.json"
AMBIT_EXACT_ROWS = env_int(
    "AMBIT_EXACT_ROWS", default=read_calibration(AMBIT_CALIBRATION).get("AMBIT_EXACT_ROWS", 10_000)
)
# Tenants of so many vectors get a graph, as many tenants as the ceiling; 0 means always exact.
AMBIT_GRAPH_MIN_ROWS = env_int("AMBIT_GRAPH_MIN_ROWS", default=10_000, minimum=1)
AMBIT_GRAPHS_MAX = env_int("AMBIT_GRAPHS_MAX", default=64)
# Width of the vector column; a model of another width needs a migration.
AMBIT_EMBED_DIMENSIONS = 384
AMBIT_LORA_BASE = lora_base(AMBIT_VLLM_MODEL)
AMBIT_ADAPTERS_DIR = adapters_dir("" if PRODUCTION else str(EMBEDDED.adapters_dir))
AMBIT_VLLM_ADAPTERS_DIR = adapters_dir_of_servers(AMBIT_ADAPTERS_DIR)

AMBIT_ORIGINALS_DIR = Path(
    _production(
        "AMBIT_ORIGINALS_DIR",
        "the folder of encrypted originals",
        lambda: str(EMBEDDED.originals_dir),
    )
)
AMBIT_KEYRING_DIR = Path(
    _production(
        "AMBIT_KEYRING_DIR",
        "the folder of the tenants' wrapping keys",
        lambda: str(EMBEDDED.keyring_dir),
    )
)
# What protects the files of the keyring: nothing but their mode, or a key that never leaves its store.
AMBIT_KEY_STORE = env_str("AMBIT_KEY_STORE", "file")
if AMBIT_KEY_STORE not in {"file", "openbao", "kms"}:
    raise InvalidSetting(f"AMBIT_KEY_STORE must be file, openbao or kms; it is {AMBIT_KEY_STORE!r}")
# How long what a store unwrapped stays in a process's memory.
AMBIT_KEY_CACHE_S = env_int("AMBIT_KEY_CACHE_S", default=300, minimum=1)
AMBIT_OPENBAO_URL = env_url("AMBIT_OPENBAO_URL")
AMBIT_OPENBAO_TOKEN_FILE = env_str("AMBIT_OPENBAO_TOKEN_FILE")
AMBIT_OPENBAO_KEY = env_str("AMBIT_OPENBAO_KEY", "transit/ambit")
AMBIT_OPENBAO_CA_FILE = env_str("AMBIT_OPENBAO_CA_FILE")
AMBIT_KMS_COMMAND = shlex.split(env_str("AMBIT_KMS_COMMAND"))
# What that program sees of our environment: what its own tools need, and none of our secrets.
AMBIT_KMS_ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("AMBIT_", "DATABASE_URL", "REDIS_URL"))
}
if AMBIT_KEY_STORE == "openbao" and not AMBIT_OPENBAO_URL:
    raise InvalidSetting("Set AMBIT_OPENBAO_URL: AMBIT_KEY_STORE is openbao")
if AMBIT_OPENBAO_URL and not AMBIT_OPENBAO_TOKEN_FILE:
    raise InvalidSetting("Set AMBIT_OPENBAO_TOKEN_FILE to the file that holds OpenBao's token")
if "/" not in AMBIT_OPENBAO_KEY:
    raise InvalidSetting(
        f"AMBIT_OPENBAO_KEY must be a mount, a slash and a key's name; it is {AMBIT_OPENBAO_KEY!r}"
    )
if AMBIT_KEY_STORE == "kms" and not AMBIT_KMS_COMMAND:
    raise InvalidSetting("Set AMBIT_KMS_COMMAND: AMBIT_KEY_STORE is kms")
# What must stay gone whatever backup is restored, and which backups there are; best where neither database nor
# backups are.
AMBIT_TOMBSTONES_DIR = Path(
    _production(
        "AMBIT_TOMBSTONES_DIR",
        "the folder of the ledger of tombstones, which keeps backups from bringing back what was erased",
        lambda: str(EMBEDDED.tombstones_dir),
    )
)
AMBIT_BACKUP_KEEP_DAYS = env_int("AMBIT_BACKUP_KEEP_DAYS", default=30, minimum=1)
# Of backups made by other means, for how long they are kept; 0: there are none, None: nobody said.
AMBIT_OTHER_BACKUPS_KEEP_DAYS = (
    env_int("AMBIT_OTHER_BACKUPS_KEEP_DAYS", default=0)
    if env_str("AMBIT_OTHER_BACKUPS_KEEP_DAYS")
    else None
)
# Where copies of what the audit log signed go; best where the database's administrator cannot write.
AMBIT_AUDIT_COPIES_DIR = Path(
    _production(
        "AMBIT_AUDIT_COPIES_DIR",
        "the folder for copies of the audit log's checkpoints",
        lambda: str(EMBEDDED.audit_dir),
    )
)
# Copies in a bucket too, where nobody can change or remove them: any S3 with object lock.
AMBIT_AUDIT_S3_BUCKET = env_str("AMBIT_AUDIT_S3_BUCKET")
AMBIT_AUDIT_S3_PREFIX = env_str("AMBIT_AUDIT_S3_PREFIX", "ambit/")
AMBIT_AUDIT_S3_ENDPOINT = env_str("AMBIT_AUDIT_S3_ENDPOINT")
AMBIT_AUDIT_S3_REGION = env_str("AMBIT_AUDIT_S3_REGION")
AMBIT_AUDIT_S3_RETENTION_MODE = env_str("AMBIT_AUDIT_S3_RETENTION_MODE", "COMPLIANCE").upper()
if AMBIT_AUDIT_S3_RETENTION_MODE not in {"COMPLIANCE", "GOVERNANCE"}:
    raise InvalidSetting("AMBIT_AUDIT_S3_RETENTION_MODE must be COMPLIANCE or GOVERNANCE")
AMBIT_AUDIT_S3_RETENTION_YEARS = env_int(
    "AMBIT_AUDIT_S3_RETENTION_YEARS", default=6, minimum=1, maximum=100
)
AMBIT_AUDIT_INTERVAL_S = env_int("AMBIT_AUDIT_INTERVAL_S", default=8, minimum=1)
# Who acted on what is kept for so long, six years; the proofs of it stay.
AMBIT_AUDIT_VALUES_DAYS = env_int("AMBIT_AUDIT_VALUES_DAYS", default=2192, minimum=1)
AMBIT_MAX_UPLOAD_MB = env_int("AMBIT_MAX_UPLOAD_MB", default=100, minimum=1)
AMBIT_PARSE_TIMEOUT_S = env_int("AMBIT_PARSE_TIMEOUT_S", default=120, minimum=1)
AMBIT_PARSE_MEMORY_MB = env_int("AMBIT_PARSE_MEMORY_MB", default=2048, minimum=128)
# How long a worker may stay silent before its job is given to another.
AMBIT_JOB_LEASE_S = env_int("AMBIT_JOB_LEASE_S", default=60, minimum=1)

# Between two rewritings of the tables that erasures destroyed rows of, all tenants' alike.
AMBIT_SCRUB_INTERVAL_S = env_int("AMBIT_SCRUB_INTERVAL_S", default=60 if PRODUCTION else 0)
# At which hour, UTC, what tenants keep no longer is looked for: a scrub of big tables follows.
AMBIT_RETENTION_HOUR = env_int("AMBIT_RETENTION_HOUR", default=2, maximum=23)
# How long a person's archive can be fetched before it is destroyed.
AMBIT_EXPORT_DAYS = env_int("AMBIT_EXPORT_DAYS", default=7, minimum=1, maximum=90)
# Whether tenants' webhooks may lead into private networks, and outside production to plain http.
AMBIT_WEBHOOK_PRIVATE = env_bool("AMBIT_WEBHOOK_PRIVATE", default=False)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["ambit.api.authentication.KeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["ambit.api.permissions.DeclaredPolicy"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "ambit.api.schema.AmbitSchema",
    "EXCEPTION_HANDLER": "ambit.api.problems.problem_response",
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Ambit",
    "DESCRIPTION": "Answers from the documents the asker may see; erasure with a receipt.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    # Its default hook renames enumerations that two resources share.
    "POSTPROCESSING_HOOKS": [],
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env_bool("AMBIT_SECURE_COOKIES", default=PRODUCTION)
SESSION_COOKIE_AGE = 8 * 3600
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
SECURE_SSL_REDIRECT = env_bool("AMBIT_SSL_REDIRECT", default=PRODUCTION)
SECURE_HSTS_SECONDS = 31536000 if SECURE_SSL_REDIRECT else 0
SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$", r"^v1/livez$", r"^v1/readyz$"]
if env_bool("AMBIT_BEHIND_TLS_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "ambit.config.logs.LineFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env_str("AMBIT_LOG_LEVEL", "INFO")},
    # Each of these writes addresses or query strings, in which a caller may put anything.
    "loggers": {
        "httpx2": {"level": "WARNING"},
        "botocore": {"level": "WARNING"},
        "django.server": {"level": "ERROR"},
        "django.request": {"level": "ERROR"},
    },
}

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
