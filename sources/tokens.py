"""The tokens by which a business's own systems use the read API: what they open, and for how long.

Source: contract §10; minted, checked and hashed by `sources/keys.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone

from sources import keys
from sources.history import recorded, row_before
from sources.ids import uuid7

# Nobody remembers a token for longer.
LASTS_AT_MOST = timedelta(days=366)
RATE_PER_MINUTE = 600
MAX_RATE = 100_000


class Scope(models.TextChoices):
    """What a token opens."""

    LEADS_READ = "leads:read", "Read leads and tags"
    LEADS_WRITE = "leads:write", "Change, archive and delete leads; make and change tags"
    SOURCES = "sources", "Read and change sources, and renew their keys"
    SUPPRESSIONS = "suppressions", "Read, add, check and release suppressions"
    PERSONAL_DATA = "personal-data", "See persons unmasked, and search for them"


def check_scopes(value: Any) -> None:
    """Raise ValidationError unless `value` is a list of scopes, at least one, each once."""
    if not isinstance(value, list) or not value or len(set(value)) != len(value):
        raise ValidationError("Choose at least one scope.")
    if not set(value) <= set(Scope.values):
        raise ValidationError("There is no such scope.")


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def live(self, at: datetime) -> Self:
        """Keep the tokens that open something at `at`."""
        return self.filter(expires_at__gt=at, revoked_at=None)

    def used(self, token_id: UUID, at: datetime, not_since: timedelta) -> None:
        """Note that a token was used at `at`, unless it is noted for less than `not_since` ago."""
        self.filter(Q(last_used_at=None) | Q(last_used_at__lte=at - not_since), id=token_id).update(
            last_used_at=at
        )

    def issue(
        self,
        *,
        business: Any,
        label: str,
        scopes: Iterable[str],
        expires_at: datetime,
        by: Any = None,
        rate_per_minute: int = RATE_PER_MINUTE,
    ) -> tuple[ApiToken, str]:
        """Make a token and return its row and its text, which is to be had this once only.

        Raises ValidationError for what cannot be.
        """
        text = keys.mint(keys.TOKEN_PREFIX)
        token = ApiToken(
            business=business,
            label=label,
            digest=keys.digest(text),
            preview=keys.preview(text),
            scopes=[one for one in Scope.values if one in set(scopes)],
            rate_per_minute=rate_per_minute,
            expires_at=expires_at,
            created_by=by,
        )
        token.full_clean()
        token.save()
        return token, text


class ApiToken(models.Model):
    """What is kept of a token: its digest, whose it is, what it opens and until when.

    What is done by it is on record as done by it, for the one who made it.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    business = models.ForeignKey("sources.Business", models.PROTECT, related_name="api_tokens")
    label = models.CharField(max_length=100, help_text="Which system uses it.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    preview = models.CharField(max_length=16, editable=False)
    scopes = models.JSONField(validators=[check_scopes])
    rate_per_minute = models.PositiveIntegerField(
        default=RATE_PER_MINUTE,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_RATE)],
        help_text="Requests in 60 seconds.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = ApiTokenQuerySet.as_manager()
    history = recorded(excluded_fields=["digest", "last_used_at"])

    class Meta:
        verbose_name = "API token"
        verbose_name_plural = "API tokens"
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.label} ({self.preview})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            row_before(self, kwargs.get("update_fields"))
            super().save(*args, **kwargs)

    def clean(self) -> None:
        if self.expires_at and self.expires_at > self.created_at + LASTS_AT_MOST:
            raise ValidationError({"expires_at": "A token lives for a year at most."})
        if self.expires_at and self.expires_at <= self.created_at:
            raise ValidationError({"expires_at": "This lies in the past."})

    def is_live(self, at: datetime) -> bool:
        """Say whether the token opens anything at `at`."""
        return self.revoked_at is None and self.expires_at > at

    def may(self, scope: Scope) -> bool:
        """Say whether the token has a scope."""
        return scope.value in self.scopes

    def revoke(self, at: datetime, by: Any = None) -> None:
        """End the token at `at`; what was already ended stays as it was."""
        if self.revoked_at is None:
            self.revoked_at, self.revoked_by = at, by
            self.save(update_fields=["revoked_at", "revoked_by"])


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: a user of the console, or a token for the one who made it."""

    by: Any = None
    token: ApiToken | None = None

    @property
    def told(self) -> str:
        """Return by what it was done, for records that name a user only; "" for the user itself."""
        return f"API token {self.token}" if self.token else ""

    def sign(self, row: models.Model) -> None:
        """Have the history of a row, when it is saved next, name who changed it, and by what."""
        row._history_user = self.by  # type: ignore[attr-defined]
        row._change_reason = self.told or None  # type: ignore[attr-defined]
