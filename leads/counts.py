"""What has to be counted again: a note beside each change of a lead that had been counted.

Whoever changes what a lead counts as, a decision, a look-back, a replay, leaves the note in the
same transaction; the worker takes it away with the new count. New leads leave none: the worker
looks for them by their time, so that a post costs nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import models

from sources.ids import uuid7
from sources.models import Source


class Recount(models.Model):
    """That something which came by a source at some moment counts otherwise than before."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.ForeignKey(Source, models.CASCADE, related_name="+", db_index=False)
    received_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.id)


def count_again(changed: Iterable[tuple[UUID, datetime]]) -> None:
    """Have what came at these moments, by the ids of their sources, counted again.

    In the transaction of the change, so that neither is there without the other.
    """
    rows = [Recount(source_id=source_id, received_at=at) for source_id, at in changed]
    Recount.objects.bulk_create(rows, batch_size=500)
