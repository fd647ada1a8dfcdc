"""What every test gets: a process that remembers no key, and makers of sources and doors."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from intake import authentication
from sources.models import Source
from tests.factories import Door, make_source


@pytest.fixture(autouse=True)
def fresh_process() -> Iterator[None]:
    """Let no test see the keys that another one used."""
    authentication.forget()
    yield
    authentication.forget()


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
