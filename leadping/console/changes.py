"""What was changed on a source, its rule modes and its keys, field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from sources.models import Source, SourceKey, SourceRule

HISTORY_AT_MOST = 200


@dataclass(frozen=True, slots=True)
class Changed:
    """One change: when, who, what of, and field by field what it was and became."""

    at: datetime
    who: str
    what: str
    reason: str
    differences: list[tuple[str, str, str]]


# What changes with every save, or says nothing to a reader.
UNTOLD = {
    *("id", "version", "counters_version", "created_at", "source_id"),
    *("compliance_approved_by_id", "created_by_id", "revoked_by_id", "digest", "last_used_at"),
}


def history_of(source: Source, may_see_keys: bool) -> Iterator[Changed]:
    """Yield every change of a source, its rule modes and its keys, each kind from the oldest on."""
    people = {"history_user"}
    own = Source.history.filter(id=source.pk).select_related(*people)
    yield from compared(own.order_by("-history_date")[: HISTORY_AT_MOST + 1], "Source")
    modes = SourceRule.history.filter(source_id=source.pk).select_related(*people)
    by_row: dict[UUID, list[Any]] = {}
    for row in modes.order_by("-history_date")[: HISTORY_AT_MOST + 1]:
        by_row.setdefault(row.id, []).append(row)
    for rows in by_row.values():
        yield from compared(rows, f"Rule {rows[0].rule}")
    if may_see_keys:
        keys = SourceKey.history.filter(source_id=source.pk).select_related(*people)
        by_row = {}
        for row in keys.order_by("-history_date")[: HISTORY_AT_MOST + 1]:
            by_row.setdefault(row.id, []).append(row)
        for rows in by_row.values():
            yield from compared(rows, f"Key {rows[0].preview}")


VERBS = {"+": "made", "~": "changed", "-": "back to the default"}


def compared(newest_first: Any, noun: str) -> Iterator[Changed]:
    """Yield the changes that the rows of one history make, each against the row before it."""
    rows = list(reversed(list(newest_first)))
    for before, row in zip([None, *rows], rows, strict=False):
        differences = []
        for field in row.instance._meta.concrete_fields:
            name = field.attname
            if name in UNTOLD or not hasattr(row, name):
                continue
            value = getattr(row, name)
            was = getattr(before, name) if before else None
            if before and value != was:
                label = str(field.verbose_name).capitalize()
                differences.append((label, worded(was), worded(value)))
        is_told = differences or "default tags" in (row.history_change_reason or "")
        if before is not None and row.history_type == "~" and not is_told:
            continue  # a new version, made by a change of a rule, which is told by itself
        verb = VERBS[row.history_type]
        if hasattr(row, "mode") and row.history_type == "+":
            verb = f"set to {row.mode}"
        who = row.history_user.get_username() if row.history_user else "command line"
        what, reason = f"{noun} {verb}", row.history_change_reason or ""
        yield Changed(row.history_date, who, what, reason, differences)


def worded(value: Any) -> str:
    """Return a value of a setting in words; an empty list is one that allows all."""
    if value == []:
        return "all"
    if value in (None, "", {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, datetime):
        return f"{timezone.localtime(value):%Y-%m-%d %H:%M:%S %Z}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
