"""Checks that no migration is missing and that production settings pass Django's own list."""

import os
import secrets
import subprocess
import sys

PRODUCTION = {
    "ENV_FILE": os.devnull,
    "SECRET_KEY": secrets.token_urlsafe(60),
    "ALLOWED_HOSTS": "leads.example.com",
    "PUBLIC_URL": "https://leads.example.com",
    "DATABASE_URL": "sqlite:///leadping-check.sqlite3",
}
CHECKS = (
    ("makemigrations", "--check", "--dry-run"),
    ("check", "--deploy", "--fail-level", "WARNING"),
)


def main() -> int:
    """Run the checks; return the exit code."""
    codes = [
        subprocess.run([sys.executable, "manage.py", *one], env=os.environ | PRODUCTION).returncode
        for one in CHECKS
    ]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
