"""How each of the programs is started on a port of this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable


def raw(port: int) -> list[str]:
    """Return the command line of R."""
    options = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--no-ws"]
    options += ["--workers", "2", "--blocking-threads", "4", "--log-level", "error"]
    return [sys.executable, "-m", "granian", *options, "bench.references.raw:application"]


def usual(port: int) -> list[str]:
    """Return the command line of D."""
    options = ["-k", "gthread", "--workers", "2", "--threads", "4", "--log-level", "error"]
    options += ["--bind", f"127.0.0.1:{port}"]
    return [sys.executable, "-m", "gunicorn", *options, "django.core.wsgi:get_wsgi_application()"]


def fast(port: int) -> list[str]:
    """Return the command line of F."""
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", "2", "--loop", "uvloop"]
    options += ["--http", "httptools", "--log-level", "error"]
    return [sys.executable, "-m", "uvicorn", *options, "bench.references.fast:app"]


COMMANDS: dict[str, Callable[[int], list[str]]] = {"R": raw, "D": usual, "F": fast}

# What each needs besides DATABASE_URL; R also what the product itself needs.
ENVIRONMENT: dict[str, dict[str, str]] = {
    "R": {"DJANGO_SETTINGS_MODULE": "leadping.settings"},
    "D": {"DJANGO_SETTINGS_MODULE": "bench.references.usual_settings"},
    "F": {},
}
