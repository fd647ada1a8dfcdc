"""The post: what a vendor sent and what became of it."""

from __future__ import annotations

from django.db import models

from leads.models import Lead
from sources.ids import uuid7
from sources.models import Source, SourceKey


class Post(models.Model):
    """One submission, as it was received, with its outcome; only ever added.

    On PostgreSQL the table's key is (id, received_at), so that it can be partitioned by time; the
    id alone, being a UUIDv7, is unique in practice. Source: contract §9, "What is kept".
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    received_at = models.DateTimeField("received")
    source = models.ForeignKey(Source, models.PROTECT, related_name="posts", db_index=False)
    key = models.ForeignKey(SourceKey, models.PROTECT, related_name="+", db_index=False)
    request_id = models.CharField(max_length=64)
    method = models.CharField(max_length=10)
    path = models.CharField(max_length=200)
    address = models.GenericIPAddressField(null=True)
    headers = models.JSONField(default=dict)
    body = models.BinaryField()
    body_size = models.PositiveIntegerField("body size in bytes")
    has_credential_blanked = models.BooleanField(default=False)

    status = models.PositiveSmallIntegerField("HTTP status")
    outcome = models.CharField(max_length=40)  # approved, blocked, repeated or a problem's code
    answer = models.JSONField(null=True)  # the problem as sent; a lead's answer is the lead
    notes = models.JSONField(default=dict)  # names of fields that were ignored or truncated
    took_us = models.PositiveIntegerField("took (µs)")  # until the answer was known
    lead = models.ForeignKey(Lead, models.PROTECT, null=True, related_name="posts", db_index=False)

    class Meta:
        ordering = ["-received_at", "-id"]
        indexes = [
            # The newest posts of a source, or of a day.
            models.Index(fields=["source", "received_at"], name="post_by_source"),
            # The posts of a lead: its first one and every repeat.
            models.Index(
                fields=["lead"], name="post_by_lead", condition=models.Q(lead__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def is_cut(self) -> bool:
        """Say whether only the start of the body was kept."""
        return self.body_size > len(self.body)
