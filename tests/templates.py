"""Databases with their tables, made once for all tests of a run, which copy them."""

import fcntl
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

ROOT = Path(__file__).resolve().parent.parent
# Names the folder in which all processes of a run find them.
FOLDER = "TEMPLATE_FOLDER"


@contextmanager
def shared_templates() -> Iterator[None]:
    """Let all tests that run meanwhile, in whatever process, share one template of each database.

    Does nothing inside of another one.
    """
    if FOLDER in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ[FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[FOLDER]
            url = os.environ.get("DATABASE_URL", "")
            if url.startswith("postgres"):
                drop(url, name_in(Path(folder)))


def template(url: str) -> str:
    """Return what to copy for a database with its tables: a path, or a name on the server.

    The first one who asks makes it, which takes ten seconds; others wait for that meanwhile.
    """
    folder = Path(os.environ[FOLDER])
    if url.startswith("sqlite"):
        path = folder / "template.sqlite3"
        with made_once(path) as is_wanted:
            if is_wanted:
                new = folder / "new.sqlite3"
                migrate(f"sqlite:///{new}")
                new.rename(path)
        return str(path)
    name = name_in(folder)
    with made_once(folder / name) as is_wanted:
        if is_wanted:
            drop(url, name)
            with psycopg.connect(url, autocommit=True) as server:
                server.execute(f"CREATE DATABASE {name}".encode())
            migrate(urlsplit(url)._replace(path=f"/{name}").geturl())
            (folder / name).touch()
    return name


@contextmanager
def made_once(path: Path) -> Iterator[bool]:
    """Say whether a file is to be made, while no other process asks that."""
    with Path(f"{path}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not path.exists()


def name_in(folder: Path) -> str:
    """Return the name of the template on a server, which no other run has."""
    return f"template_{folder.name.lower()}"


def migrate(url: str) -> None:
    """Make the tables of a database."""
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    environment = os.environ | {
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "leadping.settings",
        "ENV_FILE": os.devnull,
        "SECRET_KEY": "only-for-tests",
    }
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def drop(url: str, name: str) -> None:
    """Delete a database, if it and its server are still there."""
    with suppress(psycopg.OperationalError), psycopg.connect(url, autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


def copy_into_tests(connection: Any) -> None:
    """Have the database that Django makes for its tests be a copy of the template.

    It migrates as ever, and finds nothing to do.
    """
    if connection.vendor == "postgresql":
        connection.settings_dict["TEST"]["TEMPLATE"] = template(os.environ["DATABASE_URL"])
        return
    create = connection.creation._create_test_db

    def create_filled(*words: Any, **options: Any) -> str:
        name: str = create(*words, **options)
        connection.close()
        connection.settings_dict["NAME"] = name  # as Django does it next
        connection.ensure_connection()
        with closing(sqlite3.connect(template("sqlite:///"))) as source:
            source.backup(connection.connection)
        return name

    connection.creation._create_test_db = create_filled
