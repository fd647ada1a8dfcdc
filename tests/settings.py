"""The settings under test: the real ones, without this checkout's `.env`, with a secret made up."""

import os
import secrets

os.environ["ENV_FILE"] = os.devnull
os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(50))
os.environ.setdefault("DATABASE_URL", "sqlite:///leadping-test.sqlite3")
os.environ.setdefault("PUBLIC_URL", "https://leads.example.com")

from leadping.settings import *  # noqa: F403
