"""Counts the refusals of which no more is kept: `401` and `429`, written in batches.

A count is late by seconds at most, and only what a killed process had not written yet is lost.
Source: contract §9, "What is kept".
"""

import atexit
import threading
from collections import Counter
from datetime import datetime
from uuid import UUID

import structlog
from django.db import Error as DatabaseProblem
from django.db import connection, transaction

from intake import store
from intake.models import RefusalCount
from intake.trouble import is_unavailable

WRITTEN_EVERY_SECONDS = 5
# Beyond so many kinds, in one batch, addresses are no longer told apart: memory has an end.
MAX_KINDS = 1000

log = structlog.get_logger()

_lock = threading.Lock()
_counts: Counter[tuple[datetime, str, UUID | None, str]] = Counter()
_timer: threading.Timer | None = None


def count(code: str, source_id: UUID | None, address: str, at: datetime) -> None:
    """Count one refusal: of the source if one is known, else of the address."""
    global _timer
    minute = at.replace(second=0, microsecond=0)
    with _lock:
        kind = (minute, code, source_id, "" if source_id else address)
        if kind not in _counts and len(_counts) >= MAX_KINDS:
            kind = (minute, code, source_id, "")
        _counts[kind] += 1
        if _timer is None:
            _timer = threading.Timer(WRITTEN_EVERY_SECONDS, _write_and_close)
            _timer.daemon = True
            _timer.start()


def write() -> None:
    """Write what was counted since the last time; while the database is away, it is counted on."""
    global _timer
    with _lock:
        counts = _counts.copy()
        _counts.clear()
        if _timer is not None:
            _timer.cancel()
            _timer = None
    if not counts:
        return
    rows = [
        RefusalCount(minute=minute, code=code, source_id=source_id, address=address, count=number)
        for (minute, code, source_id, address), number in sorted(counts.items(), key=repr)
    ]
    try:
        with transaction.atomic():
            store.add_refusals(rows)
    except DatabaseProblem as error:
        log.warning("refusals.not_written", exc_info=True)
        # Else it would never be written, and nothing after it: some source is gone.
        if is_unavailable(error):
            with _lock:
                _counts.update(counts)


def _write_and_close() -> None:
    """Write from a thread of its own, which ends with its connection."""
    try:
        write()
    finally:
        connection.close()


def forget() -> None:
    """Forget what was counted and is not written, as a killed process would."""
    global _timer
    with _lock:
        _counts.clear()
        if _timer is not None:
            _timer.cancel()
            _timer = None


atexit.register(write)
