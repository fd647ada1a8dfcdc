"""What keeps each state of a row that can be changed: who changed it, when, and what it was."""

from collections.abc import Iterable
from typing import Any

from django.db import models
from simple_history.models import HistoricalRecords

from sources.ids import uuid7


def recorded(**options: Any) -> HistoricalRecords:
    """Return what keeps each state of a row that `save()` or `delete()` made: who, when, what."""
    return HistoricalRecords(
        history_id_field=models.UUIDField(default=uuid7),
        history_change_reason_field=models.TextField(null=True),
        **options,
    )


def row_before(changed: models.Model, named: Iterable[str] | None) -> Any:
    """Return the row that `changed` is about to be saved into, locked; None for a new one.

    What is not `named` for saving is taken from it: the history is to say what is in the row, not
    what an instance remembers of it. Only in a transaction.
    """
    if changed._state.adding:
        return None
    rows = type(changed)._default_manager.select_for_update(no_key=True)
    before = rows.filter(pk=changed.pk).first()
    if before and named is not None:
        for one in changed._meta.concrete_fields:
            if one.name not in named:
                setattr(changed, one.attname, getattr(before, one.attname))
    return before
