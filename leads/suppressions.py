"""Who may not be contacted: opt-outs and the like of a business, and do-not-call registries.

`leads/lookback.py` makes an entry, which is never deleted and never rewritten; it ends by a release
with a reason. It holds normalised values only, by which leads are matched. Source: contract §6
`suppressed`, `on-dnc-registry`.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, NoReturn, Self
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone

from leads import normalize
from leads.compliance import REGISTRY_MAX_AGE_DAYS
from sources.history import recorded
from sources.ids import uuid7
from sources.locks import list_of, lock, subjects
from sources.models import Business
from sources.tokens import Actor

# Where the day is later than in UTC, it is one day ahead at most.
A_DAY_AHEAD = timedelta(days=1)
NEVER_DELETED = "A suppression is never deleted: release it."


class ReleaseRefused(Exception):
    """The suppression is not released."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class AlreadyReleased(ReleaseRefused):
    """This suppression has been released before."""


class NoReleaseReason(ReleaseRefused):
    """A suppression is only released with a reason."""


class UnfitReleaseText(ReleaseRefused):
    """A text holds control characters."""


class NoEvidence(ReleaseRefused):
    """An opt-out or revocation ends only by the person's new consent: say what proves it."""


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    def active(self) -> Self:
        """Keep the entries that stand now."""
        return self.filter(released_at=None)

    def active_at(self, at: datetime) -> Self:
        """Keep the entries that were there at `at` and stood."""
        return self.filter(Q(released_at=None) | Q(released_at__gt=at), created_at__lte=at)

    def in_force_for(self, business: Business | UUID) -> Self:
        """Keep the entries that bind this business: its own, and the registries."""
        return self.filter(Q(business=business) | Q(business=None))

    def matching(self, phone: str, email_key: str) -> Self:
        """Keep the entries that name one of these, each by the channels that use it."""
        by_phone = Q(phone=phone, channel__in=PHONE_CHANNELS) & ~Q(phone="")
        by_email = Q(email_key=email_key, channel__in=EMAIL_CHANNELS) & ~Q(email_key="")
        return self.filter(by_phone | by_email)

    def delete(self) -> NoReturn:
        raise TypeError(NEVER_DELETED)

    def naming(self, phone: str, email_key: str) -> Self:
        """Keep the entries that name one of these, whatever their channel."""
        by_phone = Q(phone=phone) & ~Q(phone="")
        return self.filter(by_phone | Q(email_key=email_key) & ~Q(email_key=""))


class Suppression(models.Model):
    """A person, by phone or e-mail or both, who may not be contacted by some channel."""

    class Channel(models.TextChoices):
        SMS = "sms", "Text messages"
        VOICE = "voice", "Calls"
        EMAIL = "email", "E-mail"
        ALL = "all", "All channels"

    class Kind(models.TextChoices):
        OPT_OUT = "opt-out", "Opt-out"
        REVOCATION = "revocation", "Consent revoked"
        COMPLAINT = "complaint", "Complaint"
        LITIGATOR = "litigator", "Known litigator"
        INTERNAL = "internal", "Internal"
        DNC_REGISTRY = "dnc-registry", "Do-not-call registry"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # None: everyone's, which only registries are. No index of its own: nobody lists by it alone.
    business = models.ForeignKey(
        Business,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="suppressions",
        db_index=False,
    )
    phone = models.CharField(max_length=20, blank=True)  # E.164
    email_key = models.CharField(max_length=320, blank=True)  # what e-mail addresses match by
    channel = models.CharField(max_length=10, choices=Channel.choices, default=Channel.ALL)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    list_name = models.CharField(max_length=100, blank=True)
    listed_on = models.DateField(null=True, blank=True)  # the date of the list it first stood on
    reason = models.TextField(blank=True)
    provenance = models.CharField(max_length=100, blank=True)  # the screen, command or file
    suppressed_at = models.DateTimeField("from")
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
    )
    released_at = models.DateTimeField(null=True, blank=True)
    released_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
    )
    release_reason = models.TextField(blank=True)
    release_evidence = models.TextField(blank=True)  # of the new consent

    objects = SuppressionQuerySet.as_manager()
    # Without the person, who is in the row itself, for good.
    history = recorded(excluded_fields=["phone", "email_key"])

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            # Every post, release and check looks for its person; released ones for the past.
            models.Index(fields=["phone"], condition=~Q(phone=""), name="suppression_of_phone"),
            models.Index(
                fields=["email_key"], condition=~Q(email_key=""), name="suppression_of_email"
            ),
            # The newest of one business: its list in the API.
            models.Index(
                fields=["business", "suppressed_at", "id"],
                condition=Q(business__isnull=False),
                name="suppression_of_business",
            ),
        ]
        constraints = [
            # One entry that stands for each saying; an import passes by what is there.
            models.UniqueConstraint(
                fields=["business", "phone", "email_key", "channel", "kind"],
                condition=Q(released_at=None, business__isnull=False),
                name="suppression_once",
            ),
            models.UniqueConstraint(
                fields=["list_name", "phone", "email_key", "channel"],
                condition=Q(released_at=None, business=None),
                name="suppression_on_registry_once",
            ),
            models.CheckConstraint(
                condition=Q(kind="dnc-registry", business=None, listed_on__isnull=False)
                & ~Q(list_name="")
                | Q(
                    kind__in=["opt-out", "revocation", "complaint", "litigator", "internal"],
                    business__isnull=False,
                    list_name="",
                    listed_on=None,
                ),
                name="suppression_scope_fits_kind",
            ),
            models.CheckConstraint(
                condition=Q(channel__in=["sms", "voice"]) & ~Q(phone="")
                | Q(channel="email") & ~Q(email_key="")
                | Q(channel="all") & (~Q(phone="") | ~Q(email_key="")),
                name="suppression_channel_reaches_someone",
            ),
            models.CheckConstraint(
                condition=Q(released_at=None, release_reason="", release_evidence="")
                | Q(released_at__isnull=False)
                & ~Q(release_reason="")
                & (~Q(kind__in=["opt-out", "revocation"]) | ~Q(release_evidence="")),
                name="suppression_ends_with_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    def clean(self) -> None:
        if not self.phone and not self.email_key:
            raise ValidationError("Give a phone number or an e-mail address.")
        if self.channel in (self.Channel.SMS, self.Channel.VOICE) and not self.phone:
            raise ValidationError({"channel": "This channel needs a phone number."})
        if self.channel == self.Channel.EMAIL and not self.email_key:
            raise ValidationError({"channel": "This channel needs an e-mail address."})
        if self.suppressed_at > self.created_at:
            raise ValidationError({"suppressed_at": "This lies in the future."})
        today = self.created_at.date()
        if self.listed_on and self.listed_on > today + A_DAY_AHEAD:
            raise ValidationError({"listed_on": "This lies in the future."})
        if self.listed_on and (today - self.listed_on).days > REGISTRY_MAX_AGE_DAYS:
            raise ValidationError({"listed_on": "A list that old may not be used any more."})
        for name in ("reason", "provenance", "list_name"):
            if normalize.CONTROL.search(getattr(self, name)):
                raise ValidationError({name: "This holds control characters."})
        is_registry = self.kind == self.Kind.DNC_REGISTRY
        if is_registry and (self.business_id or not self.list_name or not self.listed_on):
            raise ValidationError(
                "An entry of a registry needs the list's name and date, and is everyone's."
            )
        if not is_registry and (self.business_id is None or self.list_name or self.listed_on):
            raise ValidationError("An entry of this kind needs a business, and has no list.")

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(NEVER_DELETED)

    def subjects(self) -> list[str]:
        """Return what to lock for this person."""
        return subjects(self.phone, self.email_key)

    def names(self, phone: str, email_key: str) -> bool:
        """Say whether this entry counts on that phone or e-mail: what `matching` keeps."""
        is_email_named = bool(email_key) and self.email_key == email_key
        return self.reaches_phone(phone) or (is_email_named and self.channel in EMAIL_CHANNELS)

    def concerns(self, channel: Suppression.Channel) -> bool:
        """Say whether this entry stands against contact by that channel; of all: of any."""
        every = Suppression.Channel.ALL
        return channel in (every, self.channel) or self.channel == every

    def reaches_phone(self, phone: str) -> bool:
        """Say whether this entry counts on that phone."""
        return bool(phone) and self.phone == phone and self.channel in PHONE_CHANNELS

    def release(self, by: Any, reason: str, evidence: str = "") -> None:
        """End the entry; `by` is a user, None on the shell.

        `evidence`: what proves the person's new consent, without which an opt-out or revocation
        does not end. Raises a ReleaseRefused.
        """
        if normalize.CONTROL.search(reason + evidence):
            raise UnfitReleaseText
        if not reason.strip():
            raise NoReleaseReason
        if self.kind in ENDED_BY_CONSENT and not evidence.strip():
            raise NoEvidence
        with transaction.atomic():
            lock(self.subjects())
            now = Suppression.objects.select_for_update().get(id=self.id)
            if now.released_at:
                raise AlreadyReleased
            self.released_at, self.released_by = timezone.now(), by
            self.release_reason, self.release_evidence = reason.strip(), evidence.strip()
            self.save(
                update_fields=["released_at", "released_by", "release_reason", "release_evidence"]
            )


PHONE_CHANNELS = (Suppression.Channel.SMS, Suppression.Channel.VOICE, Suppression.Channel.ALL)
EMAIL_CHANNELS = (Suppression.Channel.EMAIL, Suppression.Channel.ALL)
ENDED_BY_CONSENT = (Suppression.Kind.OPT_OUT, Suppression.Kind.REVOCATION)


def release_person(
    business: Business,
    phone: str,
    email_key: str,
    channel: Suppression.Channel,
    *,
    actor: Actor,
    reason: str,
    evidence: str = "",
    kind: Suppression.Kind | None = None,
) -> list[Suppression]:
    """End what a business itself has against exactly this person and channel, the newest first.

    Exactly: an entry that names a phone and an e-mail is not that of the phone alone, nor one for
    all channels that for one of them. `kind`: only entries of it, by default of every kind. All
    end, or none. Where an opt-out or revocation ends without `evidence`, its reason is kept as
    that too: whoever ends it says by the reason what the person's new consent rests on. Raises a
    ReleaseRefused.
    """
    with transaction.atomic():
        lock(subjects(phone, email_key))
        rows = Suppression.objects.active().naming(phone, email_key)
        rows = rows.filter(business=business, phone=phone, email_key=email_key, channel=channel)
        if kind:
            rows = rows.filter(kind=kind)
        entries = list(rows.order_by("-suppressed_at", "-id"))
        for one in entries:
            is_by_consent = one.kind in ENDED_BY_CONSENT
            actor.sign(one)
            one.release(actor.by, reason, evidence or (reason if is_by_consent else ""))
        return entries


class RegistryListQuerySet(models.QuerySet["RegistryList"]):
    def in_use(self) -> Self:
        """Keep the editions of lists that leads are checked against."""
        return self.filter(retired_at=None)

    def load(self, name: str, listed_on: date, *, is_renewed: bool) -> None:
        """Take an edition of a list into use, unless it is in use; with the list locked.

        `is_renewed`: for all entries that stand in the list it has been looked back.
        """
        renewed_at = timezone.now() if is_renewed else None
        self.in_use().get_or_create(
            name=name, listed_on=listed_on, defaults={"renewed_at": renewed_at}
        )

    def retire(self, name: str) -> int:
        """Take a list out of use, and return how many editions it had; 0 if it was in none."""
        with transaction.atomic():
            lock([list_of(name)])
            return self.in_use().filter(name=name).update(retired_at=timezone.now())

    def make_known(self, name: str, listed_on: date) -> None:
        """Take a list of which an entry came into use, unless it is already.

        One entry does not make it fresh again: an edition does. Raises ValidationError for a list
        that has been retired, whose entries block nothing.
        """
        editions = self.filter(name=name)
        if not editions.exists():
            self.load(name, listed_on, is_renewed=True)
        elif not editions.in_use().exists():
            raise ValidationError({"list_name": "This list is no longer in use."})


class RegistryList(models.Model):
    """One edition of a do-not-call list that was loaded; the newest of each name must be fresh.

    A list whose editions are all retired is no longer in use: its entries block nothing.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100)
    listed_on = models.DateField("date of the list")
    loaded_at = models.DateTimeField(default=timezone.now, editable=False)
    retired_at = models.DateTimeField(null=True, blank=True)
    # When all entries that stood in it had been looked back for: None while its import is at it.
    renewed_at = models.DateTimeField(null=True, blank=True)

    objects = RegistryListQuerySet.as_manager()

    class Meta:
        ordering = ["name", "-listed_on"]
        constraints = [
            # One that was retired may be loaded again.
            models.UniqueConstraint(
                fields=["name", "listed_on"],
                condition=Q(retired_at=None),
                name="registry_edition_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.listed_on}"
