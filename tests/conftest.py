"""What every test gets: a process that remembers no key, makers of sources and doors, a browser."""

import io
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import structlog
from django.db import connection
from playwright.sync_api import Browser, sync_playwright
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]

from intake import authentication, refusals
from sources.models import Source
from tests.factories import Door, make_source
from tests.templates import copy_into_tests, shared_templates

# Each database has its own ways to fail; these files start servers or files of their own. On SQLite
# nothing can race: it has one writer at a time.
collect_ignore = (
    ["test_crashes_of_sqlite.py"]
    if os.environ["DATABASE_URL"].startswith("postgres")
    else [
        *("test_crashes.py", "test_two_databases.py", "test_races.py", "test_plans.py"),
        *("test_bench.py", "test_round_trips.py", "test_export_masks.py"),
    ]
)

# Counts are written when a test says so, not by a thread in the middle of its transaction.
refusals.WRITTEN_EVERY_SECONDS = 3600


def pytest_configure(config: pytest.Config) -> None:
    """Have one database with tables for all processes of this run, which they copy."""
    stack = ExitStack()
    stack.enter_context(shared_templates())
    config.add_cleanup(stack.close)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Make the databases of tests by copying: to migrate one takes ten seconds."""
    copy_into_tests(connection)


@pytest.fixture(scope="session", autouse=True)
def static_files_are_found_once() -> Iterator[None]:
    """Let the second and later clients of a process know the static files that the first found.

    Each client loads the middleware anew, and to look for them takes it longer than a page does.
    """
    found: dict[str, Any] = {}
    find = WhiteNoiseMiddleware.add_files_from_finders

    def find_once(self: Any) -> None:
        if not found:
            find(self)
            found.update(self.files)
        self.files.update(found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WhiteNoiseMiddleware, "add_files_from_finders", find_once)
        yield


@pytest.fixture(autouse=True)
def fresh_process() -> Iterator[None]:
    """Let no test see the keys that another one used, or count what another one refused."""
    authentication.forget()
    refusals.forget()
    yield
    authentication.forget()
    refusals.forget()


@pytest.fixture
def log_lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Yield a function that returns the events of the log so far, read back from its JSON."""
    (handler,) = [
        one
        for one in logging.getLogger().handlers
        if isinstance(one, logging.StreamHandler)
        and isinstance(one.formatter, structlog.stdlib.ProcessorFormatter)
    ]
    written = io.StringIO()
    before = handler.setStream(written)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    handler.setStream(before)


@pytest.fixture
def source(db: None) -> Source:
    """Return an approved source without any limit."""
    return make_source()


@pytest.fixture
def door(source: Source) -> Door:
    """Return the door of that source."""
    return Door(source)


def find_chromium() -> str | None:
    """Return the path of the browser to test with, None if there is none on this machine.

    The one without windows draws the same pages in half of the time.
    """
    names = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"]
    if named := os.environ.get("CHROMIUM"):
        names.insert(0, named)
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Yield a running Chromium; without one, skip, or fail if CI_NEEDS_BROWSER is 1.

    Not the one of pytest-playwright: its event loop stays with the thread to the end of the run,
    and under a running loop Django refuses the ORM to every test that comes later.
    """
    path = find_chromium()
    if path is None:
        sentence = "There is no Chromium here: install it, or name one in CHROMIUM."
        if os.environ.get("CI_NEEDS_BROWSER") == "1":
            pytest.fail(sentence)
        pytest.skip(sentence)
    with sync_playwright() as playwright, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # the loop is the browser's, not a view's
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()
