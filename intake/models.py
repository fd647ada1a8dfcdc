"""The post: what a vendor sent and what became of it. And what is only counted."""

from __future__ import annotations

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models.expressions import RawSQL

from intake.counts import CountedUntil, CountedZone, DayCount
from leads.models import Lead
from leads.reviews import REASON_MAX_LENGTH, AppendOnly
from sources.ids import uuid7
from sources.models import Source, SourceKey
from sources.sql import column

# The models of the app, some of which have a module of their own.
__all__ = [
    "CountedUntil",
    "CountedZone",
    "DayCount",
    "Post",
    "RateWindow",
    "RefusalCount",
    "Replay",
]

# Of posts that were answered so only the start is kept. Source: contract §9, "What is kept".
CUT_STATUSES = (403, 413)
START_BYTES = 4 * 1024


# What is written of a post that made a lead.
NEW_LEAD = ("approved", "blocked")


class PostQuerySet(models.QuerySet["Post"]):
    def without_new_lead(self) -> Self:
        """Keep the posts that were refused or were repeats, in the words of their index."""
        words = ", ".join(f"'{one}'" for one in NEW_LEAD)
        outcome = column(Post, "outcome")
        # Not by parameters, which hide from SQLite that the index holds just these rows.
        return self.filter(RawSQL(f"NOT ({outcome} IN ({words}))", [], models.BooleanField()))


class Post(models.Model):
    """One submission, as it was received, with its outcome; only ever added.

    `status` and `answer` are what the vendor was told. `outcome`, `lead` and `notes` are what it is
    now: they change once, if staff replay a post that was refused.

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
    # What the rules found against a post that they refused; a lead has its own.
    findings = models.JSONField(null=True)
    rules_version = models.CharField(max_length=80, blank=True)
    took_us = models.PositiveIntegerField("took (µs)")  # until the answer was known
    lead = models.ForeignKey(Lead, models.PROTECT, null=True, related_name="posts", db_index=False)

    objects = PostQuerySet.as_manager()

    class Meta:
        # By the key, whose first part is the time: no index for the list of posts alone.
        ordering = ["-id"]
        permissions = [("replay_post", "Can replay refused posts")]
        indexes = [
            # The newest posts of a source, or of a day.
            models.Index(fields=["source", "received_at"], name="post_by_source"),
            # The posts of a lead: its first one and every repeat.
            models.Index(
                fields=["lead"], name="post_by_lead", condition=models.Q(lead__isnull=False)
            ),
            # What did not become a lead of its own, refused or repeated: how many, and the list.
            models.Index(
                fields=["received_at", "outcome", "key"],
                condition=~models.Q(outcome__in=NEW_LEAD),
                name="post_without_new_lead",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def is_cut(self) -> bool:
        """Say whether only the start of the body was kept.

        Its size alone does not tell: where a key was blanked, the body is shorter than it came, or
        longer, and was cut then.
        """
        is_at_end = max(self.body_size, len(self.body) + 1) > START_BYTES
        return self.status in CUT_STATUSES and is_at_end


class Replay(AppendOnly):
    """That a refused post was run again by staff and became a lead, or a repeat of one.

    Once for each post. Its key is kept without a foreign key, for that of the table of posts is the
    id with the time. Source: contract §9.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    post_id = models.UUIDField(unique=True)
    post_received_at = models.DateTimeField()
    at = models.DateTimeField()
    # None: somebody on the shell.
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    reason = models.CharField(max_length=REASON_MAX_LENGTH)
    outcome_before = models.CharField(max_length=40)
    outcome_after = models.CharField(max_length=40)
    lead = models.ForeignKey(Lead, models.PROTECT, related_name="replays", db_index=False)

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [
            # The newest, for staff; those that made or met one lead, for its story.
            models.Index(fields=["at"], name="replay_by_time"),
            models.Index(fields=["lead"], name="replay_of_lead"),
        ]

    def __str__(self) -> str:
        return f"replay {self.id}"


class RateWindow(models.Model):
    """How much of its allowance a source or an address has used in its window of 60 seconds.

    On PostgreSQL the table is unlogged: it is emptied by a crash, and costs no flush to disk.
    Source: DECISIONS, Intake 5.
    """

    subject = models.CharField(primary_key=True, max_length=80)
    started_ms = models.BigIntegerField("started (ms since 1970)")
    used = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.used} since {self.started_ms}"


class RefusalCount(models.Model):
    """How many posts of a source, or of an address, were refused with one code in one minute.

    Of those answered `401` and `429` no more is kept. Source: contract §9, "What is kept".
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    minute = models.DateTimeField()
    code = models.CharField(max_length=40)
    # Whose it is, once the key was right; else the address that it came from, if one is known.
    source = models.ForeignKey(
        Source, models.CASCADE, null=True, related_name="refusal_counts", db_index=False
    )
    address = models.CharField(max_length=39, blank=True)
    count = models.PositiveIntegerField()

    class Meta:
        ordering = ["-minute"]
        constraints = [
            # One row for each, which later batches add to; two, since no null equals another.
            models.UniqueConstraint(
                fields=["source", "minute", "code"],
                condition=models.Q(source__isnull=False),
                name="refusal_count_of_source_once",
            ),
            models.UniqueConstraint(
                fields=["minute", "code", "address"],
                condition=models.Q(source__isnull=True),
                name="refusal_count_of_address_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.count} of {self.code}"
