"""Businesses, the vendors that send to them, the sources between the two, and their keys."""

from __future__ import annotations

import re
import zoneinfo
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Self
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone

from sources import keys, names
from sources.decimals import ExactDecimalField
from sources.history import recorded, row_before
from sources.ids import uuid7
from sources.locks import caps_of, lock
from sources.rules import ALLOWED_MODES, DEFAULT_MODES, Mode, Rule
from sources.tags import Tag
from sources.tokens import Actor, ApiToken

# The models of the app, some of which have modules of their own.
__all__ = ["ApiToken", "Business", "Source", "SourceKey", "SourceRule", "Tag", "Vendor"]


class Business(models.Model):
    """A company that buys leads: one tenant."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200, unique=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name_plural = "businesses"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Vendor(models.Model):
    """A company that sends leads: a publisher, form or partner."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200, unique=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


def check_list_of_texts(value: Any) -> None:
    """Raise ValidationError unless `value` is a list of non-blank texts of up to 100 characters."""
    if not isinstance(value, list) or not all(
        isinstance(one, str) and 0 < len(one.strip()) <= 100 for one in value
    ):
        raise ValidationError('Give a list of texts, e.g. ["TX", "CA"].')


# What a database cannot keep, or nobody can see in a name: control characters, halves of pairs.
UNKEEPABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def check_field_map(value: Any) -> None:
    """Raise ValidationError unless `value` maps further vendor names onto names of flat fields."""
    if not isinstance(value, dict) or len(value) > 100:
        raise ValidationError('Give up to 100 pairs of names, e.g. {"cell": "phone"}.')
    for sent, field in value.items():
        if len(sent) > 100 or UNKEEPABLE.search(sent):
            raise ValidationError("A name has at most 100 characters, none of them for control.")
        if field not in names.FLAT_FIELDS:
            raise ValidationError(f'"{field}" is not the name of a field of a flat post.')
        if not names.fold(sent) or names.fold(sent) in names.FOLDED:
            raise ValidationError(f'"{sent}" already is the name of a field, or is empty.')


def check_time_zone(value: str) -> None:
    """Raise ValidationError unless `value` is the IANA name of a time zone."""
    if value not in zoneinfo.available_timezones():
        raise ValidationError(f'"{value}" is not a time zone; an example: America/Chicago.')


# Both databases hold it; SQLite alone would take more.
MAX_COUNT = 1_000_000_000


class SourceQuerySet(models.QuerySet["Source"]):
    def with_settings(self) -> Self:
        """Fetch with each source all that judging a post of it needs."""
        return self.select_related("business").prefetch_related("rule_modes", "default_tags")

    def as_of(self, source_id: UUID, at: datetime) -> Source | None:
        """Return a source with its settings and modes as they were; None if it was not there.

        For judging by it, not for saving. Its history begins when the history was introduced.
        """
        rows = Source.history.filter(id=source_id, history_date__lte=at)
        return self._as_kept(rows.order_by("-history_date", "-history_id").first())

    def of_version(self, version: str) -> Source | None:
        """Return a source with the settings and modes of one of its versions, as `as_of` does."""
        try:
            wanted = UUID(version)
        except ValueError:
            return None
        return self._as_kept(Source.history.filter(version=wanted).first())

    def _as_kept(self, row: Any) -> Source | None:
        """Return the source that a row of the history keeps, with the modes of its moment."""
        if row is None:
            return None
        source: Source = row.instance
        rules = SourceRule.history.filter(source_id=source.id, history_date__lte=row.history_date)
        newest = {one.id: one for one in rules.order_by("history_date", "history_id")}
        source.modes = DEFAULT_MODES | {
            Rule(one.rule): Mode(one.mode) for one in newest.values() if one.history_type != "-"
        }
        return source


class Source(models.Model):
    """The approved path by which one vendor sends leads for one business, with its rules.

    Changed by `save()` only, never by a bulk update: each save sets a new `version`, by which the
    processes that keep sources in memory see that theirs is old, and leaves a row of `history`
    with that version, by which a lead says under which settings it was judged.
    """

    class DuplicateScope(models.TextChoices):
        SOURCE = "source", "This source"
        BUSINESS = "business", "Any source of the business"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    business = models.ForeignKey(Business, models.PROTECT, related_name="sources")
    vendor = models.ForeignKey(Vendor, models.PROTECT, related_name="sources")
    name = models.CharField(max_length=200)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="owned_sources",
        help_text="The person who answers for this source; leads carry it as userId.",
    )
    notes = models.TextField(blank=True, help_text="For staff; never leaves the console.")
    description = models.TextField(
        blank=True,
        default="",
        db_default="",
        max_length=2000,
        help_text="For the business, which reads and writes it by the API.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    version = models.UUIDField(default=uuid7, editable=False)
    # Which counters of the caps count: new ones when a cap is switched on, or days begin elsewhere.
    counters_version = models.UUIDField(default=uuid7, editable=False)

    is_enabled = models.BooleanField(
        "enabled", default=True, help_text="Off: each post is answered 403 source-disabled."
    )
    # Put away by its business: switched off, its keys ended, no longer in the API; leads name it.
    deleted_at = models.DateTimeField("deleted", null=True, blank=True, editable=False)
    compliance_approved_at = models.DateTimeField(null=True, blank=True, editable=False)
    compliance_approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )
    compliance_approval_note = models.TextField(blank=True, editable=False)

    allowed_states = models.JSONField(
        default=list,
        blank=True,
        validators=[check_list_of_texts],
        help_text='USPS codes, e.g. ["TX", "CA"]. An empty list allows all; with a list, a lead '
        "without a state is held too.",
    )
    allowed_products = models.JSONField(
        default=list, blank=True, validators=[check_list_of_texts], help_text="As for states."
    )
    allowed_verticals = models.JSONField(
        default=list, blank=True, validators=[check_list_of_texts], help_text="As for states."
    )
    is_trusted_form_required = models.BooleanField(
        "requires TrustedForm",
        default=False,
        help_text="A lead without a TrustedForm certificate URL gets the finding consent-missing.",
    )
    is_sms_consent_covered = models.BooleanField(
        "consent wording covers SMS",
        default=False,
        help_text="Staff have read the wording that people agree to, and it covers text messages.",
    )
    default_product = models.CharField(max_length=100, blank=True)
    default_vertical = models.CharField(max_length=100, blank=True)
    default_tags = models.ManyToManyField(Tag, blank=True, related_name="+")
    default_sender_number_id = models.CharField(
        max_length=64, blank=True, help_text="Leads carry it as assignedPhoneNumberId."
    )

    duplicate_window_days = models.PositiveSmallIntegerField(
        default=30,
        validators=[MaxValueValidator(3650)],
        help_text="Days of 24 hours in which the same person counts as a duplicate; 0 = never.",
    )
    duplicate_scope = models.CharField(
        max_length=10, choices=DuplicateScope.choices, default=DuplicateScope.SOURCE
    )
    daily_cap = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(MAX_COUNT)],
        help_text="Approved leads a day, in this source's time zone.",
    )
    monthly_cap = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(MAX_COUNT)],
        help_text="Approved leads a month, in this source's time zone.",
    )
    rate_per_minute = models.PositiveIntegerField(
        default=300,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_COUNT)],
        help_text="Posts in 60 seconds.",
    )
    time_zone = models.CharField(
        max_length=64, default="America/New_York", validators=[check_time_zone]
    )
    cost_per_lead = ExactDecimalField(null=True, blank=True, validators=[MinValueValidator(0)])

    field_map = models.JSONField(
        default=dict,
        blank=True,
        validators=[check_field_map],
        help_text='Further names that this vendor uses for our fields, e.g. {"cell": "phone"}.',
    )
    is_unknown_kept = models.BooleanField(
        "keeps unknown fields",
        default=False,
        help_text="Fields that nobody knows go into sourceMetadata instead of being ignored.",
    )
    is_query_key_allowed = models.BooleanField(
        "allows the key in the URL",
        default=False,
        help_text="For posting systems that can only call a URL; URLs are written to logs.",
    )

    objects = SourceQuerySet.as_manager()
    history = recorded()

    class Meta:
        ordering = ["name"]
        permissions = [("approve_source", "Can approve a source for compliance")]
        constraints = [
            # A name is free again once its source is deleted.
            models.UniqueConstraint(
                fields=["business", "name"],
                condition=Q(deleted_at=None),
                name="source_name_unique",
                violation_error_message="A source of this business and name already exists.",
            ),
            models.CheckConstraint(
                condition=Q(rate_per_minute__gte=1), name="source_rate_at_least_1"
            ),
            models.CheckConstraint(
                condition=Q(duplicate_window_days__lte=3650), name="source_window_at_most_3650"
            ),
            models.CheckConstraint(
                condition=Q(duplicate_scope__in=["source", "business"]),
                name="source_duplicate_scope_known",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            named = kwargs.get("update_fields")
            before = row_before(self, named)
            if before and self._is_to_be_counted_anew(before):
                # Once what is being judged by the old ones is stored, to be counted in the new.
                lock([caps_of(self.id)])
                self.counters_version = uuid7()
            elif before:
                self.counters_version = before.counters_version
            self.version = uuid7()
            self._history_date = timezone.now()  # with the row locked: in the order of the changes
            if named is not None:
                kwargs["update_fields"] = {*named, "version", "counters_version"}
            super().save(*args, **kwargs)

    def _is_to_be_counted_anew(self, before: Source) -> bool:
        """Say whether the counters of the caps no longer say what was approved in their time."""
        return self.time_zone != before.time_zone or any(
            getattr(self, name) is not None and getattr(before, name) is None
            for name in ("daily_cap", "monthly_cap")
        )

    @property
    def has_cap(self) -> bool:
        return self.daily_cap is not None or self.monthly_cap is not None

    @property
    def is_compliance_approved(self) -> bool:
        return self.compliance_approved_at is not None

    @cached_property
    def modes(self) -> dict[Rule, Mode]:
        """Return the mode of every rule: the published default unless this source has its own."""
        return DEFAULT_MODES | {Rule(one.rule): Mode(one.mode) for one in self.rule_modes.all()}

    @cached_property
    def tags_by_default(self) -> list[Tag]:
        """Return the tags of leads that come without any; none that is archived."""
        return [one for one in self.default_tags.all() if one.archived_at is None]

    def approve(self, by: Any, note: str, at: datetime) -> None:
        """Record that the source passed compliance review; `by` is a user, None on the shell."""
        self.compliance_approved_at = at
        self.compliance_approved_by = by
        self.compliance_approval_note = note
        self.save(
            update_fields=[
                "compliance_approved_at",
                "compliance_approved_by",
                "compliance_approval_note",
            ]
        )

    def set_mode(self, rule: Rule, mode: Mode) -> None:
        """Set one rule's mode; raises ValidationError for a mode that the rule does not allow."""
        row = SourceRule.objects.filter(source=self, rule=rule).first() or SourceRule(rule=rule)
        row.source, row.mode = self, mode
        row.full_clean()
        row.save()

    def issue_key(
        self,
        *,
        label: str = "",
        expires_at: datetime | None = None,
        is_test: bool = False,
        by: Any = None,
        token: ApiToken | None = None,
    ) -> tuple[SourceKey, str]:
        """Make a key and return its row and its text, which is to be had this once only.

        `token`: by which it is made for `by`. Raises ValidationError for a label that is too long.
        """
        text = keys.mint()
        row = SourceKey(
            source=self,
            label=label,
            digest=keys.digest(text),
            preview=keys.preview(text),
            expires_at=expires_at,
            is_test=is_test,
            created_by=by,
        )
        row.full_clean()
        if token:
            Actor(by, token).sign(row)
        row.save()
        return row, text

    def renew_key(self, at: datetime, actor: Actor, label: str = "") -> str:
        """Make a key in the place of all that are live, which end at `at`; return its text."""
        with transaction.atomic():
            self.end_keys(at, actor)
            return self.issue_key(label=label, by=actor.by, token=actor.token)[1]

    def end_keys(self, at: datetime, actor: Actor) -> None:
        """End every key that is live, in a transaction."""
        for key in self.keys.live(at).select_for_update(no_key=True):
            actor.sign(key)
            key.revoke(at, by=actor.by)

    def put_away(self, at: datetime, actor: Actor) -> None:
        """Delete the source at `at`, for its business: off, its keys ended; its leads stay."""
        with transaction.atomic():
            self.deleted_at, self.is_enabled = at, False
            actor.sign(self)
            self.save(update_fields=["deleted_at", "is_enabled"])
            self.end_keys(at, actor)


class SourceRule(models.Model):
    """The mode that a source gives one rule, where it is not the default."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.ForeignKey(Source, models.CASCADE, related_name="rule_modes")
    rule = models.CharField(max_length=40, choices=Rule.choices)
    mode = models.CharField(max_length=10, choices=Mode.choices)

    history = recorded()

    class Meta:
        ordering = ["rule"]
        constraints = [
            models.UniqueConstraint(fields=["source", "rule"], name="source_rule_once"),
            models.CheckConstraint(
                condition=Q(
                    *[
                        Q(rule=rule.value, mode__in=[mode.value for mode in modes])
                        for rule, modes in ALLOWED_MODES.items()
                    ],
                    _connector=Q.OR,
                ),
                name="source_rule_mode_allowed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rule}: {self.mode}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            self._note_change()
            super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        with transaction.atomic():
            self._note_change()
            return super().delete(*args, **kwargs)

    def _note_change(self) -> None:
        """Give the source a new version first, of whose moment this row's history is to be."""
        self.source.save(update_fields=["version"])
        self._history_date = self.source._history_date

    def clean(self) -> None:
        if self.rule and self.mode and self.mode not in ALLOWED_MODES[Rule(self.rule)]:
            allowed = ", ".join(ALLOWED_MODES[Rule(self.rule)])
            raise ValidationError({"mode": f"{self.rule} may be set to: {allowed}."})


class SourceKeyQuerySet(models.QuerySet["SourceKey"]):
    def live(self, at: datetime) -> Self:
        """Keep the keys that open the door at `at`."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=at), revoked_at=None)

    def used(self, key_id: UUID, at: datetime, not_since: timedelta) -> None:
        """Note that a key was used at `at`, unless it is noted for later than `not_since` ago."""
        self.filter(Q(last_used_at=None) | Q(last_used_at__lte=at - not_since), id=key_id).update(
            last_used_at=at
        )


class SourceKey(models.Model):
    """What is kept of a key: its digest, who made it and when, until when it opens the door."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.ForeignKey(Source, models.PROTECT, related_name="keys")
    label = models.CharField(max_length=100, blank=True)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    preview = models.CharField(max_length=16, editable=False)
    is_test = models.BooleanField(
        "for tests",
        default=False,
        help_text="Leads posted with this key are tests: judged and stored, never counted.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = SourceKeyQuerySet.as_manager()
    history = recorded(excluded_fields=["digest", "last_used_at"])

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.preview

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            row_before(self, kwargs.get("update_fields"))
            super().save(*args, **kwargs)

    def is_live(self, at: datetime) -> bool:
        """Say whether the key opens the door at `at`."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > at)

    def revoke(self, at: datetime, by: Any = None) -> None:
        """End the key at `at`; what was already ended stays as it was."""
        if self.revoked_at is None:
            self.revoked_at, self.revoked_by = at, by
            self.save(update_fields=["revoked_at", "revoked_by"])

    def expire(self, at: datetime) -> None:
        """Let the key end at `at`, unless it ends before."""
        if self.expires_at is None or self.expires_at > at:
            self.expires_at = at
            self.save(update_fields=["expires_at"])
