"""The lead: one prospective customer, as received, judged and kept."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.db import models, transaction
from django.db.models import F, Q
from django.utils import timezone

from leads.caps import CapCounter
from leads.changes import LeadChange
from leads.compliance import judge
from leads.counts import Recount, count_again
from leads.exports import (
    Export,
    ExportChunk,
    ExportDownload,
    ExportedLeads,
    ExportSchedule,
)
from leads.facts import decide, gather, lock_person, periods_for
from leads.findings import Facts, Finding, Overrule, Verdict, joined
from leads.imports import BadRow, ImportChunk, StagedRow, SuppressionImport
from leads.normalize import NAME_KEY_MAX_LENGTH
from leads.reviews import (
    FOUND_MAX_LENGTH,
    LONGEST_ANSWER,
    UNDO_MINUTES,
    UNDO_WITHIN,
    AlreadyDecided,
    Claim,
    DeskTab,
    Disclosure,
    LeadIsErased,
    LookBack,
    NotReleasable,
    NotShown,
    NotUndone,
    NoWrittenConsent,
    Review,
    desk_tab_of,
    found_in,
    reason_of,
    text_of,
)
from leads.saved import SavedView
from leads.suppressions import RegistryList, Suppression
from sources.decimals import ExactDecimalField
from sources.ids import uuid7
from sources.models import Business, Source, Tag
from sources.rules import RULES_VERSION, Rule
from sources.sql import LastFour

# The models of the app, some of which have modules of their own.
__all__ = [
    "BadRow",
    "CapCounter",
    "Claim",
    "Disclosure",
    "Export",
    "ExportChunk",
    "ExportDownload",
    "ExportSchedule",
    "ExportedLeads",
    "ImportChunk",
    "Lead",
    "LeadChange",
    "LookBack",
    "Recount",
    "RegistryList",
    "Review",
    "SavedView",
    "StagedRow",
    "Suppression",
    "SuppressionImport",
]

# How long TrustedForm keeps a certificate that nobody has claimed.
CERTIFICATE_LASTS = timedelta(hours=72)
CONSENT_RULES = (Rule.CONSENT_MISSING, Rule.CONSENT_MALFORMED, Rule.CONSENT_REUSED)

# What an erased lead looks like: the columns that say who the person is, and what they hold.
WITHOUT_PERSON: dict[str, Any] = {
    **dict.fromkeys(("first_name", "last_name", "name_key"), ""),
    **dict.fromkeys(("email", "email_key", "posted_email_key"), ""),
    **dict.fromkeys(("phone", "phone_type", "posted_phone", "fingerprint", "user_agent"), ""),
    **dict.fromkeys(("address_line1", "address_line2", "city", "postal_code"), ""),
    **dict.fromkeys(("additional_info", "trusted_form_url", "certificate_id"), ""),
    **dict.fromkeys(("referrer", "landing_page"), ""),
    **dict.fromkeys(("birth_date", "ip_address"), None),
    "source_metadata": {},
}


class Lead(models.Model):
    """A prospective customer; texts that are not known are "", all else is None.

    Times are to the millisecond, as the wire shows them. Source: contract §3, §4.
    """

    class Status(models.TextChoices):
        APPROVED = "Approved"
        BLOCKED = "Blocked"
        REJECTED = "Rejected"

    class SmsConsent(models.TextChoices):
        UNKNOWN = "Unknown"
        OPTED_IN = "OptedIn", "Opted in"
        OPTED_OUT = "OptedOut", "Opted out"

    class Gender(models.TextChoices):
        M = "M"
        F = "F"
        NON_BINARY = "NonBinary", "Non-binary"
        PREFER_NOT_TO_SAY = "PreferNotToSay", "Prefers not to say"
        OTHER = "Other"

    class MaritalStatus(models.TextChoices):
        MARRIED = "Married"
        SINGLE = "Single"
        WIDOW = "Widow"
        SEPARATED = "Separated"
        DIVORCED = "Divorced"

    class EmploymentType(models.TextChoices):
        EMPLOYED = "Employed"
        PART_TIME = "PartTime", "Part time"
        SELF_EMPLOYED = "SelfEmployed", "Self-employed"
        CONTRACTOR = "Contractor"
        UNEMPLOYED = "Unemployed"
        RETIRED = "Retired"
        STUDENT = "Student"
        MILITARY = "Military"
        HOMEMAKER = "Homemaker"
        DISABLED = "Disabled"
        OTHER = "Other"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # No index of their own: the composite ones below serve, and each costs every post a write.
    business = models.ForeignKey(Business, models.PROTECT, related_name="leads", db_index=False)
    source = models.ForeignKey(Source, models.PROTECT, related_name="leads", db_index=False)
    received_at = models.DateTimeField("received")
    modified_at = models.DateTimeField("modified", null=True, blank=True)
    is_test = models.BooleanField("test", default=False)
    # Deleted: put away, but still the answer to a repeat. Erased: all that is left of it is
    # this row without the person, the tombstone that keeps its ids from being used again.
    deleted_at = models.DateTimeField("deleted", null=True, blank=True)
    # Out of the working lists of its business, which may take it back; by whom, its changes say.
    archived_at = models.DateTimeField("archived", null=True, blank=True)
    erased_at = models.DateTimeField("erased", null=True, blank=True)

    # what became of it
    compliance_status = models.CharField(max_length=10, choices=Status.choices)
    compliance_blocked_reason = models.TextField(blank=True)
    # On which tab of the review desk it waits; None: on none, as tests and what is not blocked.
    # NULL, not "", by which SQLite would not find the partial index.
    desk_tab = models.CharField(  # noqa: DJ001
        max_length=10, null=True, blank=True, choices=DeskTab.choices
    )
    findings = models.JSONField(default=list, blank=True)
    # What was found when it was judged last, as `found_in` writes it: what lists filter by.
    found = models.CharField(max_length=FOUND_MAX_LENGTH, blank=True, default="", db_default="")
    rules_version = models.CharField(max_length=80, blank=True)
    # When it was judged on arrival, with its person locked; by it, what came first is known.
    judged_at = models.DateTimeField("judged", null=True, blank=True)
    # When it was made of a post that had been refused; None for one that was taken on arrival.
    replayed_at = models.DateTimeField("replayed", null=True, blank=True)
    # When it first became Approved, whatever became of it since: what caps count.
    approved_at = models.DateTimeField("approved", null=True, blank=True)
    # What its certificate says. Whether the person has opted out since, the suppressions say.
    sms_consent_status = models.CharField(
        max_length=10, choices=SmsConsent.choices, default=SmsConsent.UNKNOWN
    )
    # Until when its certificate can be had; None without one, or once it has been verified.
    consent_expires_at = models.DateTimeField("consent expires", null=True, blank=True)

    # where it came from
    external_id = models.CharField(max_length=255, blank=True)
    idempotency_key = models.CharField(max_length=255, blank=True)
    fingerprint = models.CharField(max_length=64, blank=True)  # of what was posted with the key
    seller_lead_id = models.CharField(max_length=255, blank=True)
    sub_id = models.CharField(max_length=255, blank=True)
    pub_id = models.CharField(max_length=255, blank=True)
    price = ExactDecimalField(null=True, blank=True)
    direct_post_price = ExactDecimalField(null=True, blank=True)
    product = models.CharField(max_length=100, blank=True)
    vertical = models.CharField(max_length=100, blank=True)
    utm_source = models.CharField(max_length=512, blank=True)
    utm_medium = models.CharField(max_length=512, blank=True)
    utm_campaign = models.CharField(max_length=512, blank=True)
    utm_term = models.CharField(max_length=512, blank=True)
    utm_content = models.CharField(max_length=512, blank=True)
    referrer = models.CharField(max_length=2048, blank=True)
    landing_page = models.CharField(max_length=2048, blank=True)
    trusted_form_url = models.CharField(max_length=2048, blank=True)
    certificate_id = models.CharField(max_length=40, blank=True)
    source_metadata = models.JSONField(default=dict, blank=True)
    ip_address = models.GenericIPAddressField(null=True, blank=True)
    user_agent = models.CharField(max_length=512, blank=True)
    assigned_phone_number_id = models.CharField(max_length=64, blank=True)
    tags = models.ManyToManyField(Tag, blank=True, related_name="leads")

    # how to reach them
    first_name = models.CharField(max_length=100, blank=True)
    last_name = models.CharField(max_length=100, blank=True)
    # What names are searched by.
    name_key = models.CharField(
        max_length=NAME_KEY_MAX_LENGTH, blank=True, default="", db_default=""
    )
    email = models.CharField(max_length=320, blank=True)
    email_key = models.CharField(max_length=320, blank=True)  # what e-mail addresses match by
    phone = models.CharField(max_length=20, blank=True)  # E.164, which is what phones match by
    phone_type = models.CharField(max_length=50, blank=True)
    # As first posted, whatever staff make of them: a repeat is told by these.
    posted_email_key = models.CharField(max_length=320, blank=True)
    posted_phone = models.CharField(max_length=20, blank=True)
    address_line1 = models.CharField(max_length=200, blank=True)
    address_line2 = models.CharField(max_length=200, blank=True)
    city = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=100, blank=True)
    province = models.CharField(max_length=100, blank=True)
    region = models.CharField(max_length=100, blank=True)
    postal_code = models.CharField(max_length=20, blank=True)
    country = models.CharField(max_length=100, blank=True)
    additional_info = models.CharField(max_length=200, blank=True)

    # who they are
    gender = models.CharField(max_length=20, blank=True, choices=Gender.choices)
    birth_date = models.DateField(null=True, blank=True)
    height = ExactDecimalField(null=True, blank=True)
    weight = ExactDecimalField(null=True, blank=True)
    marital_status = models.CharField(max_length=20, blank=True, choices=MaritalStatus.choices)
    income = ExactDecimalField(null=True, blank=True)
    is_homeowner = models.BooleanField(null=True, blank=True)
    months_at_residence = ExactDecimalField(null=True, blank=True)
    credit_score = ExactDecimalField(null=True, blank=True)
    has_bankruptcy = models.BooleanField(null=True, blank=True)
    employment_type = models.CharField(max_length=20, blank=True, choices=EmploymentType.choices)
    number_of_dependents = ExactDecimalField(null=True, blank=True)
    has_medical_condition = models.BooleanField(null=True, blank=True)

    class Meta:
        ordering = ["-received_at", "-id"]
        permissions = [
            ("review_lead", "Can release and reject leads at the review desk"),
            ("reveal_lead", "Can reveal the person of a lead or post, with a reason"),
            ("export_lead", "Can export leads and reports, the person masked"),
            ("export_person", "Can export leads with the person, with a reason"),
        ]
        constraints = [
            # One lead per vendor's own id, for ever; also the look-up of a repeat. Tests apart:
            # a test must not take the id of the real lead that comes after it.
            models.UniqueConstraint(
                fields=["source", "external_id", "is_test"],
                condition=~Q(external_id=""),
                name="lead_external_id_unique",
            ),
            # Likewise for the key of a post; for as long as the lead exists, and beyond.
            models.UniqueConstraint(
                fields=["source", "idempotency_key", "is_test"],
                condition=~Q(idempotency_key=""),
                name="lead_idempotency_key_unique",
            ),
            models.CheckConstraint(
                condition=Q(erased_at=None) | Q(**WITHOUT_PERSON), name="lead_erased_has_no_person"
            ),
            models.CheckConstraint(
                condition=Q(compliance_status__in=["Approved", "Blocked", "Rejected"]),
                name="lead_status_known",
            ),
            models.CheckConstraint(
                condition=Q(compliance_status="Approved", compliance_blocked_reason="")
                | ~Q(compliance_status="Approved") & ~Q(compliance_blocked_reason=""),
                name="lead_blocked_has_reason",
            ),
        ]
        indexes = [
            # The newest leads, and how many of each status and source came in some time, which
            # the index alone tells: lists, the first page of the console.
            models.Index(
                fields=["received_at", "id", "source", "compliance_status", "is_test"],
                name="lead_in_time",
            ),
            # The newest leads of one source, and of each value that lists filter by. Each is in the
            # order of the list, so that a page costs the same whatever else there is, and when.
            models.Index(fields=["source", "received_at"], name="lead_by_source"),
            models.Index(fields=["compliance_status", "received_at"], name="lead_by_status"),
            models.Index(fields=["state", "received_at"], name="lead_by_state"),
            models.Index(fields=["product", "received_at"], name="lead_by_product"),
            models.Index(fields=["vertical", "received_at"], name="lead_by_vertical"),
            models.Index(
                fields=["sub_id", "received_at"], condition=~Q(sub_id=""), name="lead_by_sub_id"
            ),
            models.Index(
                fields=["price", "received_at"],
                condition=Q(price__isnull=False),
                name="lead_by_price",
            ),
            models.Index(
                fields=["found", "received_at"], condition=~Q(found=""), name="lead_by_found"
            ),
            models.Index(fields=["received_at"], condition=Q(is_test=True), name="lead_tests"),
            # Whose name begins so; whose phone ends so.
            models.Index(
                fields=["name_key", "received_at"],
                opclasses=["varchar_pattern_ops", "timestamptz_ops"],
                condition=~Q(name_key=""),
                name="lead_of_name",
            ),
            models.Index(
                LastFour("phone"), "received_at", condition=~Q(phone=""), name="lead_of_ending"
            ),
            # Leads of the same person in a business: the newest approved one, by which a lead is
            # a duplicate, and all of them for the person's story.
            models.Index(
                fields=["business", "phone", "compliance_status", "received_at"],
                condition=~Q(phone=""),
                name="lead_of_phone",
            ),
            models.Index(
                fields=["business", "email_key", "compliance_status", "received_at"],
                condition=~Q(email_key=""),
                name="lead_of_email",
            ),
            # Leads with the same certificate in a business: its reuse.
            models.Index(
                fields=["business", "certificate_id", "received_at"],
                condition=~Q(certificate_id=""),
                name="lead_of_certificate",
            ),
            # Leads that were approved after they came, few: where the counter of a cap begins.
            models.Index(
                fields=["source", "approved_at"],
                condition=Q(approved_at__gt=F("received_at")),
                name="lead_approved_later",
            ),
            # What a business has archived, and what was changed since some time, the newest first.
            models.Index(
                fields=["business", "received_at", "id"],
                condition=Q(archived_at__isnull=False),
                name="lead_archived",
            ),
            models.Index(
                fields=["business", "modified_at"],
                condition=Q(modified_at__isnull=False),
                name="lead_modified",
            ),
            # What waits on one tab of the review desk, the oldest first.
            models.Index(
                fields=["desk_tab", "received_at", "id"],
                condition=Q(desk_tab__isnull=False),
                name="lead_on_desk",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    def take(self, verdict: Verdict, source: Source, at: datetime) -> None:
        """Set what judging the lead, on arrival or when replayed, came to; nothing is saved."""
        self.findings = verdict.as_rows()
        self.rules_version = version_of(source)
        self.compliance_blocked_reason = verdict.reason
        self.compliance_status = self.Status.BLOCKED if verdict.holding else self.Status.APPROVED
        self.approved_at = None if verdict.holding else at
        self.file_under(self.findings)
        if self.certificate_id:
            self.consent_expires_at = self.received_at + CERTIFICATE_LASTS
        self.sms_consent_status = self.sms_consent_by(verdict, source)

    def file_under(self, findings: list[dict[str, Any]]) -> None:
        """Set what lists find it by, with these findings: codes, tab of the desk; not saved."""
        self.found = found_in(findings)
        is_waiting = self.compliance_status == self.Status.BLOCKED and not (
            self.is_test or self.deleted_at
        )
        self.desk_tab = desk_tab_of(findings) if is_waiting else None

    def sms_consent_by(self, verdict: Verdict, source: Source) -> str:
        """Return what the certificate says of text messages, judged so; source: contract §4."""
        doubted = {one.rule.value for one in verdict.findings}
        for one in verdict.findings:
            if one.rule == Rule.CHECK_UNAVAILABLE:
                doubted |= {broken["rule"] for broken in one.evidence["rules"]}
        does_stand = bool(self.certificate_id) and doubted.isdisjoint(CONSENT_RULES)
        if source.is_sms_consent_covered and does_stand and self.phone:
            return self.SmsConsent.OPTED_IN
        return self.SmsConsent.UNKNOWN

    def release(
        self,
        by: Any,
        note: str,
        reason: str,
        *,
        written_consent: str = "",
        shown: Collection[str] | None = None,
        at: datetime | None = None,
    ) -> Review:
        """Let a blocked lead be contacted, and return the row of the decision.

        All rules run again, as of now. Findings that a reviewer may overrule are overruled;
        `written_consent` says what proves the person's own consent against a registry. `shown`: the
        codes that the reviewer was shown, None on the shell; others are not overruled. `by`: a
        user, None on the shell. Raises a NotDecided, after which nothing has changed.
        """
        note, reason, written_consent = text_of(note), reason_of(reason), text_of(written_consent)
        with transaction.atomic():
            lead, source, facts = self._opened(at)

            def is_released(verdict: Verdict) -> bool:
                kinds = {one.overrule for one in verdict.standing}
                return Overrule.NO not in kinds and (
                    Overrule.WITH_CONSENT not in kinds or bool(written_consent)
                )

            verdict, _ = decide(
                facts,
                source,
                periods_for(lead, source, facts.judged_at),
                is_counted=not lead.is_test,
                is_released=is_released,
            )
            firm = tuple(one for one in verdict.standing if one.overrule == Overrule.NO)
            if firm:
                raise NotReleasable(firm)
            if not is_released(verdict):
                raise NoWrittenConsent
            if shown is not None:
                unseen = [one.rule.value for one in verdict.standing if one.rule.value not in shown]
                if unseen:
                    raise NotShown(unseen)
            review = lead._reviewed(Review.Decision.RELEASE, by, note, reason, facts.judged_at)
            review.written_consent = written_consent
            review.findings_after = verdict.as_rows()
            review.rules_version_after = version_of(source)
            lead.sms_consent_status = lead.sms_consent_by(verdict, source)
            lead._decide(review, self.Status.APPROVED, "")
        self.refresh_from_db()
        return review

    def reject(self, by: Any, note: str, reason: str, *, at: datetime | None = None) -> Review:
        """Confirm that a blocked lead may not be contacted; return the row of the decision.

        `by`: a user, None on the shell. Raises a NotDecided, after which nothing has changed.
        """
        note, reason = text_of(note), reason_of(reason)
        with transaction.atomic():
            lead, source, facts = self._opened(at)
            verdict = judge(facts, source.modes)
            review = lead._reviewed(Review.Decision.REJECT, by, note, reason, facts.judged_at)
            review.findings_after = verdict.as_rows()
            review.rules_version_after = version_of(source)
            lead._decide(review, self.Status.REJECTED, lead.compliance_blocked_reason)
        self.refresh_from_db()
        return review

    def undo(self, by: Any, reason: str = "Undone.", *, at: datetime | None = None) -> Review:
        """Take the last decision back, by the same person within ten minutes.

        Returns a row of its own, which names who was shown the lead in between. A cap goes on
        counting a lead that it counted. Raises a NotDecided, after which nothing has changed.
        """
        reason = reason_of(reason)
        with transaction.atomic():
            lead = self._locked()
            at = at or timezone.now()
            if lead.erased_at:
                raise LeadIsErased
            last = lead.reviews.last()
            if last is None or last.decision == Review.Decision.UNDO:
                raise NotUndone("There is none.")
            if last.decision == Review.Decision.SUPPRESS:
                raise NotUndone("The lead is blocked by a suppression.")
            if last.decision == Review.Decision.CHANGE:
                raise NotUndone("The lead is blocked after a change of it.")
            if last.by != by:
                raise NotUndone("Somebody else made it.")
            if at - last.at > UNDO_WITHIN:
                raise NotUndone(f"It is more than {UNDO_MINUTES} minutes old.")
            if lead.compliance_status != last.status_after:
                raise NotUndone("Something else has happened since.")
            review = lead._reviewed(Review.Decision.UNDO, by, "", reason, at)
            review.undoes, review.seen_by = last, lead.seen_by(last.at, at)
            review.findings_after = last.findings_before
            review.rules_version_after = last.rules_version_before
            lead._decide(review, last.status_before, last.blocked_reason_before)
        self.refresh_from_db()
        return review

    def suppressed(self, found: tuple[Finding, ...], entry: Suppression, at: datetime) -> Review:
        """Block this approved lead, for `entry` suppresses its person; return the row of that.

        `found` is what stands against it now. Neither is saved: that is done for many at once.
        """
        reason = f"Suppressed since {entry.suppressed_at:%Y-%m-%d %H:%M} UTC."
        review = self._reviewed(Review.Decision.SUPPRESS, entry.created_by, "", reason, at)
        codes = {one.rule.value for one in found}
        before = [one for one in review.findings_before if one["code"] not in codes]
        review.findings_after = [*before, *(one.as_row() for one in found)]
        review.rules_version_after = version_of(self.source)
        review.status_after = self.compliance_status = self.Status.BLOCKED
        self.compliance_blocked_reason = joined(found)
        self.file_under(review.findings_after)
        self.modified_at = to_millisecond(at)
        return review

    def seen_by(self, since: datetime, until: datetime) -> list[dict[str, str]]:
        """Return who was shown this lead in that time, and how: staff, tokens, vendors by repeats.

        A token that read it often, as a system may each minute, is named once, as of its first.
        """
        disclosed = self.disclosures.filter(at__gte=since, at__lte=until)
        shown = [
            {"who": f"user {one.by}", "how": one.how, "at": one.at.isoformat()}
            for one in disclosed.to_staff().select_related("by")
        ]
        shown += [
            {"who": f"API token {one.token}", "how": "api", "at": one.first_at.isoformat()}
            for one in disclosed.readings()
        ]
        for row in ExportedLeads.objects.of_lead(self).filter(at__gte=since, at__lte=until):
            if row.names(self.id):
                who, how = f"user {row.export.by}", Disclosure.How.EXPORT.value
                shown.append({"who": who, "how": how, "at": row.at.isoformat()})
        # The posts are of intake, which hangs them on its leads; answered a while after they came.
        # One that staff replayed was not answered with the lead.
        repeats = self.posts.filter(outcome="repeated", status=201, received_at__lte=until)
        for one in repeats.filter(received_at__gte=since - LONGEST_ANSWER).select_related("source"):
            answered_at = one.received_at + timedelta(microseconds=one.took_us)
            if answered_at >= to_millisecond(since):  # which is all that a post's time says
                at = answered_at.isoformat()
                shown.append({"who": f"source {one.source}", "how": "repeat", "at": at})
        return sorted(shown, key=lambda one: one["at"])

    @property
    def judged_as_of(self) -> datetime:
        """Return by which moment it was judged first: its arrival, or its replay."""
        return self.replayed_at or self.received_at

    def status_at(self, at: datetime) -> str:
        """Return what the status was after all that was decided up to `at`."""
        later = [one for one in self.reviews.all() if one.at > at]
        return later[0].status_before if later else self.compliance_status

    def _locked(self) -> Lead:
        """Return this lead as it stands, its row and its person locked."""
        lock_person(self)
        lead = Lead.objects.select_for_update(no_key=True).get(id=self.id)
        # Who it is has changed since it was read: a deadlock, if one comes of it, is undone.
        lock_person(lead)
        return lead

    def _opened(self, at: datetime | None) -> tuple[Lead, Source, Facts]:
        """Return this lead locked and open to a decision, its source, and the facts as of now."""
        lead = self._locked()
        at = at or timezone.now()  # once we have the locks: in the order of events
        if lead.erased_at:
            raise LeadIsErased
        if lead.compliance_status != self.Status.BLOCKED:
            raise AlreadyDecided(lead.compliance_status, lead.reviews.last())
        source = Source.objects.with_settings().get(id=lead.source_id)
        while not Source.objects.filter(id=source.id, version=source.version).exists():
            # Between the reading of the source and of its modes: not one of its versions.
            source = Source.objects.with_settings().get(id=lead.source_id)
        return lead, source, gather(lead, source, at)

    def _reviewed(
        self, decision: Review.Decision, by: Any, note: str, reason: str, at: datetime
    ) -> Review:
        """Return the row of a decision on this lead as it stood before, not saved."""
        reviews = list(self.reviews.all())  # in order, and perhaps fetched with others'
        last = reviews[-1] if reviews else None
        return Review(
            lead=self,
            decision=decision,
            at=at,
            by=by,
            note=note,
            reason=reason,
            status_before=self.compliance_status,
            blocked_reason_before=self.compliance_blocked_reason,
            findings_before=last.findings_after if last else self.findings,
            rules_version_before=last.rules_version_after if last else self.rules_version,
        )

    def _decide(self, review: Review, status: str, blocked_reason: str) -> None:
        """Carry a decision out, and keep its row."""
        review.status_after = self.compliance_status = status
        self.compliance_blocked_reason = blocked_reason
        self.file_under(review.findings_after)
        self.modified_at = to_millisecond(review.at)
        if status == self.Status.APPROVED and self.approved_at is None:
            self.approved_at = self.modified_at
        self.save(
            update_fields=[
                *("compliance_status", "compliance_blocked_reason", "sms_consent_status"),
                *("approved_at", "modified_at", "desk_tab", "found"),
            ]
        )
        review.save()
        count_again([(self.source_id, self.received_at)])

    def is_of(self, phone: str, email_key: str) -> bool:
        """Say whether a repeat with these names the same person as this lead, as first posted.

        At least one of the two is equal and none is unequal; a missing side is not unequal.
        Source: contract §7.
        """
        pairs = [(self.posted_phone, phone), (self.posted_email_key, email_key)]
        known = [(mine, theirs) for mine, theirs in pairs if mine and theirs]
        return bool(known) and all(mine == theirs for mine, theirs in known)


def version_of(source: Source) -> str:
    """Return by which rules a lead is judged now: the code's version, and the settings' own."""
    return f"{RULES_VERSION}/{source.version}"


def to_millisecond(at: datetime) -> datetime:
    """Return `at` cut to the millisecond, so that memory, row and wire hold the same time."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def now() -> datetime:
    """Return the present time, UTC, to the millisecond."""
    return to_millisecond(timezone.now())
