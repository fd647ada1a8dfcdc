"""Every setting once, read from the environment; `.env.example` explains each."""

import sys
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import environ

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
env.read_env(env.path("ENV_FILE", default=str(BASE_DIR / ".env")))  # the real environment wins

# --- who we are -------------------------------------------------------------------------------

SECRET_KEY = env.str("SECRET_KEY")  # no default: without one there is no start
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
# Where people and vendors reach this service: the base of problem `type` URIs and printed links.
PORT = env.int("PORT", default=8000)
PUBLIC_URL = env.str("PUBLIC_URL", default=f"http://localhost:{PORT}").rstrip("/")
# Proxies (addresses or networks) whose X-Forwarded-For and X-Forwarded-Proto are believed.
TRUSTED_PROXIES = [ip_network(one) for one in env.list("TRUSTED_PROXIES", default=[])]

# For the sign-in that `make run` makes on an empty database; without it, none is made.
DEMO_PASSWORD = env.str("DEMO_PASSWORD", default="")

# --- the database -----------------------------------------------------------------------------

# Web processes load these settings from leadping/wsgi.py. In them a statement may take this long,
# and two thirds of it for a lock; imports, migrations and other commands take the time they need.
IS_WEB = "leadping.wsgi" in sys.modules
DB_STATEMENT_TIMEOUT_MS = env.int("DB_STATEMENT_TIMEOUT_MS", default=3000)
DB_IDLE_TRANSACTION_TIMEOUT_MS = 15_000


def time_limits() -> str:
    """Return libpq's `options` that limit the time of a web process's statements."""
    limits = {
        "statement_timeout": DB_STATEMENT_TIMEOUT_MS,
        "lock_timeout": DB_STATEMENT_TIMEOUT_MS * 2 // 3,
        "idle_in_transaction_session_timeout": DB_IDLE_TRANSACTION_TIMEOUT_MS,
    }
    return " ".join(f"-c {name}={milliseconds}" for name, milliseconds in limits.items())


def database(url: dict[str, Any]) -> dict[str, Any]:
    """Return Django's settings for a parsed `DATABASE_URL`, set up so that a `201` is durable."""
    options = url.setdefault("OPTIONS", {})
    if url["ENGINE"].endswith("sqlite3"):
        options |= {
            # FULL: with NORMAL, SQLite in WAL mode does not flush at a commit.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            "transaction_mode": "IMMEDIATE",  # a read that turns into a write cannot fail as busy
            "timeout": 5,
        }
        url["CONN_MAX_AGE"] = None
    else:
        options |= {
            # Client-side binding would write whole leads into PostgreSQL's log when one fails.
            "server_side_binding": True,
            # What a post runs is prepared by sources/statements.py. Of what else were prepared,
            # PostgreSQL would soon keep one plan for all values; a list is asked now for a value
            # that nearly all rows have, now for one that hardly any has.
            "prepare_threshold": None,
            "connect_timeout": options.get("connect_timeout", 2),
        }
        # Each thread keeps its connection: to take one from a pool for each post and give it back
        # costs as much as looking its person up.
        url["CONN_MAX_AGE"] = None
        # PostgreSQL would compile, for longer than it runs, what it thinks to be costly. What the
        # URL says comes after, and wins.
        given = ["-c jit=off", time_limits() if IS_WEB else "", options.get("options", "")]
        options["options"] = " ".join(filter(None, given))
    return url


DATABASES = {
    "default": database(
        env.db_url("DATABASE_URL", default=f"sqlite:///{BASE_DIR}/leadping.sqlite3")
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- the API ----------------------------------------------------------------------------------

# Whether intake answers amounts as JSON numbers, for vendors on a client that reads nothing else.
INTAKE_HAS_NUMBERS = env.str("INTAKE_DECIMALS", default="text") == "number"

# Of its description (leadping/api/schema.py).
REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "leadping.api.schema.Described"}
SPECTACULAR_SETTINGS = {
    "OAS_VERSION": "3.1.1",
    "TITLE": "leadping",
    "VERSION": "1",
    "DESCRIPTION": "Leads in by vendors, each judged and stored; leads out to the business's own "
    "systems. Every refusal is a problem (RFC 9457).",
    "SERVERS": [{"url": "/"}],
    "POSTPROCESSING_HOOKS": [],
    "SCHEMA_PATH_PREFIX": "/",
}

# --- what is done later -----------------------------------------------------------------------

# How long a worker may be silent before another takes its job; each step of a job renews it.
JOB_LEASE_SECONDS = env.int("JOB_LEASE_SECONDS", default=60)

# How long the file of an export can be fetched.
EXPORT_KEPT_HOURS = env.int("EXPORT_KEPT_HOURS", default=72)

# --- what is installed ------------------------------------------------------------------------

INSTALLED_APPS = [
    "leadping.console",  # first: its templates stand before Django's
    "leadping.console.apps.SiteConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular_sidecar",
    "simple_history",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "axes",
    "leadping.jobs",
    "sources",
    "leads",
    "intake",
    "leadping",  # last: its admin replaces pages of the others
]

MIDDLEWARE = [
    "leadping.middleware.RequestContext",
    "leadping.middleware.StraightToTheApi",  # what follows is for the console
    "leadping.health.HealthMiddleware",  # before any check of the host: probes come by address
    "leadping.console.middleware.ConsolePages",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",  # who changed a source, key or rule
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",  # last: it puts the page of the lock in a view's place
]

ROOT_URLCONF = "leadping.urls"
WSGI_APPLICATION = "leadping.wsgi.application"

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

# --- transport --------------------------------------------------------------------------------

HTTPS = env.bool("HTTPS", default=True)
SECURE_SSL_REDIRECT = HTTPS
# A redirect loses the body of a post.
SECURE_REDIRECT_EXEMPT = [r"^(leads|sources|suppressions|tags)(/|$)"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

CSRF_COOKIE_HTTPONLY = True  # forms carry the token; no script of ours reads the cookie
CSRF_FAILURE_VIEW = "leadping.console.refused.no_token"
SECURE_REFERRER_POLICY = "same-origin"

# --- staff ------------------------------------------------------------------------------------

PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# Signed in by a password, for a working day; a page that another site opens gets the cookie only
# if somebody followed a link to it.
SESSION_COOKIE_AGE = 12 * 60 * 60
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"

LOGIN_REDIRECT_URL = "admin:index"

# On: the console opens only to who has signed in with a second factor, or sets one up first.
STAFF_SECOND_FACTOR = env.bool("STAFF_SECOND_FACTOR", default=False)
OTP_TOTP_ISSUER = "leadping"  # under which an authenticator app lists the code

# Failed sign-ins lock a user name for the address that they came from, and for no other: nobody
# can lock a person out from everywhere.
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # first: it refuses who is locked
    "django.contrib.auth.backends.ModelBackend",
]
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = env.int("SIGN_IN_FAILURES", default=5)
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # 15 minutes, whatever is tried meanwhile
AXES_RESET_ON_SUCCESS = True
AXES_CLIENT_IP_CALLABLE = "leadping.console.signin.address_of"
AXES_LOCKOUT_CALLABLE = "leadping.console.signin.locked_out"
# The record of sign-ins, good and bad. Over its limit axes would delete the newest ones.
AXES_ENABLE_ACCESS_FAILURE_LOG = True
AXES_ACCESS_FAILURE_LOG_PER_USER_LIMIT = sys.maxsize
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
# What axes keeps of a form that failed: none of these.
AXES_SENSITIVE_PARAMETERS = [
    *("username", "ip_address", "password", "code", "new_code"),
    *("csrfmiddlewaretoken", "next"),
]

# --- time, language, files --------------------------------------------------------------------

LANGUAGE_CODE = "en-us"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
# In which the console shows times and begins its days.
CONSOLE_TIME_ZONE = ZoneInfo(env.str("CONSOLE_TIME_ZONE", default="America/New_York"))
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # no collectstatic step: the console has few files

# --- logs -------------------------------------------------------------------------------------

LOGGING_CONFIG = "leadping.logs.configure"
LOGGING = {"level": env.str("LOG_LEVEL", default="INFO")}
