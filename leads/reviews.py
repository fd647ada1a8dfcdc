"""What was decided on leads, who was shown them, who is deciding: all but the last for good.

`Lead.release`, `Lead.reject` and `Lead.undo` make the decisions of staff; `leads/lookback.py` those
that a suppression makes of leads that were let out before it. Source: contract §6.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, ClassVar, NoReturn, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import models
from django.db.models import Count, Max, Min, Q
from django.utils import timezone

from leads.findings import Finding, Overrule
from leads.normalize import CONTROL, UNSEEN
from sources.ids import uuid7
from sources.rules import STANDING, Rule
from sources.tokens import ApiToken

REASON_MAX_LENGTH = 200
UNDO_MINUTES = 10
UNDO_WITHIN = timedelta(minutes=UNDO_MINUTES)
# More than a post, or a page of the console, may take until it is answered.
LONGEST_ANSWER = timedelta(minutes=1)
# How long a business has to honour that a person wants no more calls or texts.
ACT_WITHIN_BUSINESS_DAYS = 10
FRIDAY = 4
# The last US zone in which a day begins: there the clock runs out first.
LAST_US_ZONE = ZoneInfo("Pacific/Pago_Pago")


# How long a reviewer has a lead to himself since he last did something with it.
CLAIM_LASTS = timedelta(minutes=5)
# For how long the person stays readable, for who has revealed a lead.
REVEAL_LASTS = timedelta(minutes=5)


class NotDecided(Exception):
    """The decision is not taken, and nothing has changed."""

    def __init__(self, *details: object) -> None:
        super().__init__(" ".join([self.__doc__ or "", *map(str, details)]))


class NoReason(NotDecided):
    """A decision needs a reason."""


class UnfitText(NotDecided):
    """A reason has at most 200 characters, and no text holds control characters."""


class AlreadyDecided(NotDecided):
    """This lead has already been decided."""

    def __init__(self, status: str, review: Review | None) -> None:
        self.review = review
        told = f"It is {status}."
        if review:
            by = review.by or "the command line"
            told = f"It is {status} since {review.at:%Y-%m-%d %H:%M:%S} UTC, by {by}."
        super().__init__(told)


class NotReleasable(NotDecided):
    """Findings stand against this lead that no reviewer may overrule."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        self.findings = findings
        super().__init__("They are: " + ", ".join(one.rule.value for one in findings) + ".")


class NoWrittenConsent(NotDecided):
    """Against a do-not-call registry only the person's written consent helps: record it."""


class ClaimedByAnother(NotDecided):
    """Somebody else is deciding this lead."""


class NotShown(NotDecided):
    """Findings stand against this lead now that you had not been shown: look again."""

    def __init__(self, codes: list[str]) -> None:
        self.codes = codes
        super().__init__("They are: " + ", ".join(codes) + ".")


class LeadIsErased(NotDecided):
    """This lead was erased: there is nothing left to decide."""


class NotUndone(NotDecided):
    """This decision cannot be undone."""


def text_of(raw: str, max_length: int | None = None) -> str:
    """Return a text of staff, trimmed; raises UnfitText for what cannot be kept."""
    text = raw.strip()
    if CONTROL.search(text) or (max_length is not None and len(text) > max_length):
        raise UnfitText
    return text


def reason_of(raw: str) -> str:
    """Return the reason of a decision, trimmed; raises NoReason, or UnfitText."""
    text = text_of(raw, REASON_MAX_LENGTH)
    if not UNSEEN.sub("", text).replace("\u2800", "").strip():
        raise NoReason
    return text


class DeskTab(models.TextChoices):
    """Where a blocked lead waits: the queue of what a reviewer may overrule, or beside it."""

    REVIEW = "review", "To review"
    DUPLICATE = "duplicate", "Duplicates"
    OVER_CAP = "over-cap", "Over cap"
    SUPPRESSED = "suppressed", "Suppressed"
    FIRM = "firm", "Under age or not checked"


# By the first of these that stands against it.
TABS = {
    Rule.SUPPRESSED.value: DeskTab.SUPPRESSED,
    Rule.UNDERAGE.value: DeskTab.FIRM,
    Rule.CHECK_UNAVAILABLE.value: DeskTab.FIRM,
    Rule.DUPLICATE.value: DeskTab.DUPLICATE,
    Rule.OVER_CAP.value: DeskTab.OVER_CAP,
}


def desk_tab_of(findings: list[dict[str, Any]]) -> str:
    """Return on which tab a blocked lead with these findings, as they are kept, waits."""
    firm = {
        one["code"]
        for one in findings
        if one["mode"] in STANDING and one.get("overrule") == Overrule.NO.value
    }
    named = (tab for code, tab in TABS.items() if code in firm)
    return next(named, DeskTab.FIRM if firm else DeskTab.REVIEW).value


# All rules with the longest of the modes.
FOUND_MAX_LENGTH = 400


def found_in(findings: list[dict[str, Any]]) -> str:
    """Return the codes and modes of findings, as they are kept, in the published order.

    E.g. "duplicate:hold state-mismatch:flag"; "" for none. Of such texts there are few.
    """
    modes = {one["code"]: one["mode"] for one in findings}
    return " ".join(f"{rule.value}:{modes[rule.value]}" for rule in Rule if rule.value in modes)


class AppendOnlyQuerySet(models.QuerySet[Any]):
    """Rows that nobody changes or deletes."""

    def update(self, **values: Any) -> NoReturn:
        raise TypeError("These rows are only ever added.")

    def delete(self) -> NoReturn:
        raise TypeError("These rows are only ever added.")


class AppendOnly(models.Model):
    """A row that is written once."""

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("This row is only ever added.")
        super().save(*args, **kwargs | {"force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("This row is only ever added.")


class Review(AppendOnly):
    """One decision on a lead: who, when and why, and what stood against the lead then.

    Findings are as in `Lead.findings`: those before are of the arrival or of the last decision,
    those after are as of now, on which this decision was made.
    """

    class Decision(models.TextChoices):
        RELEASE = "release", "Released"
        REJECT = "reject", "Rejected"
        UNDO = "undo", "Undone"
        SUPPRESS = "suppress", "Blocked by a later suppression"
        CHANGE = "change", "Blocked after a change of it"

    # Those that nobody took at the desk: an approved lead waits there from then on.
    BLOCKS = (Decision.SUPPRESS, Decision.CHANGE)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    lead = models.ForeignKey("Lead", models.PROTECT, related_name="reviews", db_index=False)
    decision = models.CharField(max_length=10, choices=Decision.choices)
    at = models.DateTimeField()
    # None: somebody on the shell; of a suppression, whoever made it.
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    reason = models.CharField(max_length=REASON_MAX_LENGTH)
    note = models.TextField(blank=True)  # never leaves the console
    written_consent = models.TextField(blank=True)  # what proves it, against a registry

    status_before = models.CharField(max_length=10)
    status_after = models.CharField(max_length=10)
    blocked_reason_before = models.TextField(blank=True)
    findings_before = models.JSONField(default=list)
    findings_after = models.JSONField(default=list)
    rules_version_before = models.CharField(max_length=80, blank=True)
    rules_version_after = models.CharField(max_length=80, blank=True)

    # Of an undo: what it undoes, and who was shown the lead in between.
    undoes = models.OneToOneField(
        "self", models.PROTECT, null=True, related_name="undone_by", db_index=True
    )
    seen_by = models.JSONField(default=list)

    class Meta:
        ordering = ["at", "id"]
        indexes = [
            # The decisions on one lead, in order.
            models.Index(fields=["lead", "at"], name="review_of_lead"),
            # The newest decisions: the page of them.
            models.Index(fields=["at"], name="review_by_time"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(decision__in=["release", "reject", "undo", "suppress", "change"]),
                name="review_decision_known",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="review_has_reason"),
            models.CheckConstraint(
                condition=Q(decision="undo", undoes__isnull=False)
                | ~Q(decision="undo") & Q(undoes=None, seen_by=[]),
                name="review_undo_names_what",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.decision} {self.id}"

    @property
    def changes(self) -> dict[str, list[str]]:
        """Return which findings came and went since the lead was judged before, by code."""
        return changes(self.findings_before, self.findings_after)


def changes(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the codes of findings that are `gone`, `new` and `same`, each in published order."""
    then, now = ([one["code"] for one in findings] for findings in (before, after))
    return {
        "gone": [one for one in then if one not in now],
        "new": [one for one in now if one not in then],
        "same": [one for one in now if one in then],
    }


def act_by(since: datetime) -> date:
    """Return the last day to act on what a person said at `since`: ten business days later.

    Monday to Friday; holidays are not taken out, so that it is never later than the law has it.
    Source: 47 CFR 64.1200(a)(10).
    """
    day = since.astimezone(LAST_US_ZONE).date()
    left = ACT_WITHIN_BUSINESS_DAYS
    while left:
        day += timedelta(days=1)
        left -= day.weekday() <= FRIDAY
    return day


class AlreadySettled(NotDecided):
    """This look-back has been settled before."""


class LookBackQuerySet(models.QuerySet["LookBack"]):
    def unsettled(self) -> Self:
        """Keep those that somebody has to act on, the most urgent first."""
        return self.filter(settled_at=None).order_by("act_by", "id")


class LookBack(models.Model):
    """A lead that had been let out when its person was suppressed, and what staff do about it.

    It is blocked by `review`; whoever has it from before must be told, until `act_by`.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    lead = models.ForeignKey("Lead", models.PROTECT, related_name="look_backs", db_index=False)
    suppression = models.ForeignKey(
        "Suppression", models.PROTECT, related_name="look_backs", db_index=False
    )
    review = models.OneToOneField(Review, models.PROTECT, related_name="look_back")
    at = models.DateTimeField()
    act_by = models.DateField()
    settled_at = models.DateTimeField(null=True, blank=True)
    settled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    settled_note = models.TextField(blank=True)

    objects = LookBackQuerySet.as_manager()

    class Meta:
        verbose_name = "look-back"
        ordering = ["-at", "-id"]
        permissions = [("settle_lookback", "Can settle a look-back")]
        indexes = [
            # What is to be done, the most urgent first.
            models.Index(
                fields=["act_by", "id"], condition=Q(settled_at=None), name="look_back_unsettled"
            ),
            # Those of one lead; those that one suppression made.
            models.Index(fields=["lead"], name="look_back_of_lead"),
            models.Index(fields=["suppression"], name="look_back_of_suppression"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(settled_at=None, settled_note="")
                | Q(settled_at__isnull=False) & ~Q(settled_note=""),
                name="look_back_settled_with_note",
            )
        ]

    def __str__(self) -> str:
        return f"look-back {self.id}"

    def seen_by(self) -> list[dict[str, str]]:
        """Return who was shown the lead from its approval until it was blocked, and how.

        And who was in the moment after: a page that was being answered showed it as it was.
        """
        since = self.lead.approved_at or self.lead.received_at
        return self.lead.seen_by(since, self.at + LONGEST_ANSWER)

    def settle(self, by: Any, note: str) -> None:
        """Record what was done about it; raises NoReason, UnfitText or AlreadySettled."""
        text = text_of(note)
        if not text:
            raise NoReason
        now = timezone.now()
        rows = LookBack.objects.filter(id=self.id, settled_at=None)
        if not rows.update(settled_at=now, settled_by=by, settled_note=text):
            raise AlreadySettled
        self.refresh_from_db()


@dataclass(frozen=True, slots=True)
class Readings:
    """How often a token has read the person of a lead, when first and when last."""

    token: ApiToken
    times: int
    first_at: datetime
    last_at: datetime


class DisclosureQuerySet(AppendOnlyQuerySet):
    def to_staff(self) -> Self:
        """Leave out what was read by the API, by which the rest may be outnumbered by far."""
        return self.exclude(how=Disclosure.How.API)

    def readings(self) -> list[Readings]:
        """Return those by the API, summed up by token, the one that read last first.

        A system may read a lead every minute; each token comes with who made it.
        """
        by_token = self.filter(how=Disclosure.How.API).order_by().values_list("token")
        found = by_token.annotate(Count("id"), Min("at"), last_at=Max("at")).order_by("-last_at")
        rows = list(found)
        tokens = ApiToken.objects.select_related("created_by").in_bulk([one[0] for one in rows])
        return [Readings(tokens[one], *more) for one, *more in rows]


class Disclosure(AppendOnly):
    """Somebody was shown a lead, or a post that is none, in the console, or took it out of it.

    By the API, `token` was, for `by`, who made it.
    """

    class How(models.TextChoices):
        PAGE = "page", "Opened its page"
        REVEAL = "reveal", "Revealed the person"
        EXPORT = "export", "Exported it"
        API = "api", "Read it by the API"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    lead = models.ForeignKey(
        "Lead", models.PROTECT, null=True, related_name="disclosures", db_index=False
    )
    # Of a post that is no lead; without a foreign key, for the key of posts has two columns.
    post_id = models.UUIDField(null=True)
    at = models.DateTimeField()
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    token = models.ForeignKey(ApiToken, models.PROTECT, null=True, related_name="+", db_index=False)
    how = models.CharField(max_length=10, choices=How.choices)
    reason = models.CharField(max_length=REASON_MAX_LENGTH, blank=True)

    objects: ClassVar[Any] = DisclosureQuerySet.as_manager()

    class Meta:
        ordering = ["at", "id"]
        indexes = [
            # Who was shown one lead, in order; who one post.
            models.Index(fields=["lead", "at"], name="disclosure_of_lead"),
            models.Index(
                fields=["post_id"], condition=Q(post_id__isnull=False), name="disclosure_of_post"
            ),
            # The newest: the page of who did what.
            models.Index(fields=["at"], name="disclosure_by_time"),
            # Both again for staff, without what systems read day and night.
            models.Index(
                fields=["lead", "at"], condition=~Q(how="api"), name="disclosure_of_lead_to_staff"
            ),
            models.Index(fields=["at"], condition=~Q(how="api"), name="disclosure_to_staff"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(lead__isnull=False) | Q(post_id__isnull=False),
                name="disclosure_of_something",
            ),
            models.CheckConstraint(
                condition=~Q(how="reveal") | ~Q(reason=""), name="disclosure_reveals_with_reason"
            ),
            models.CheckConstraint(
                condition=~Q(how="api") | Q(token__isnull=False, lead__isnull=False),
                name="disclosure_by_api_names_token",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.how} {self.id}"


class ClaimQuerySet(models.QuerySet["Claim"]):
    def of_others(self, by: Any, at: datetime) -> Self:
        """Keep the claims that keep `by` from a lead at `at`."""
        return self.filter(until__gt=at).exclude(by=by)

    def take(self, lead_id: UUID, by: Any, at: datetime) -> Claim:
        """Claim a lead, or go on holding it, and return the claim; somebody else's if it is that.

        Of two at once one has it: the row is one for each lead.
        """
        until = at + CLAIM_LASTS
        mine = Q(by=by) | Q(until__lte=at)
        while True:
            if not self.filter(mine, lead=lead_id).update(by=by, until=until):
                Claim.objects.bulk_create(
                    [Claim(lead_id=lead_id, by=by, until=until)], ignore_conflicts=True
                )
            if found := self.select_related("by").filter(lead=lead_id).first():
                return found
            # Whoever had it has just given it back: once more.


class Claim(models.Model):
    """That a reviewer is deciding a lead, which keeps others from it until the time is over."""

    lead = models.OneToOneField("Lead", models.CASCADE, primary_key=True, related_name="claim")
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False
    )
    until = models.DateTimeField(db_index=True)  # those that stand now: what the desk leaves out

    objects = ClaimQuerySet.as_manager()

    def __str__(self) -> str:
        return f"claim of {self.lead_id}"
