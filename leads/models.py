"""The lead: one prospective customer, as received, judged and kept."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from leads.compliance import Verdict
from sources.decimals import ExactDecimalField
from sources.ids import uuid7
from sources.models import Business, Source, Tag
from sources.rules import RULES_VERSION

# What an erased lead looks like: the columns that say who the person is, and what they hold.
WITHOUT_PERSON: dict[str, Any] = {
    **dict.fromkeys(("first_name", "last_name", "email", "email_key", "posted_email_key"), ""),
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
    erased_at = models.DateTimeField("erased", null=True, blank=True)

    # what became of it
    compliance_status = models.CharField(max_length=10, choices=Status.choices)
    compliance_blocked_reason = models.TextField(blank=True)
    findings = models.JSONField(default=list, blank=True)
    rules_version = models.CharField(max_length=80, blank=True)
    sms_consent_status = models.CharField(
        max_length=10, choices=SmsConsent.choices, default=SmsConsent.UNKNOWN
    )

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
            # The newest leads, of all or of one source: lists, feeds, the console.
            models.Index(fields=["received_at", "id"], name="lead_by_time"),
            models.Index(fields=["source", "received_at"], name="lead_by_source"),
            # Earlier leads of the same person in a business: duplicates, the person's story.
            models.Index(
                fields=["business", "phone", "received_at"],
                condition=~Q(phone=""),
                name="lead_by_phone",
            ),
            models.Index(
                fields=["business", "email_key", "received_at"],
                condition=~Q(email_key=""),
                name="lead_by_email",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    def take(self, verdict: Verdict, source: Source) -> None:
        """Set what judging the lead on arrival came to; nothing is saved."""
        self.findings = [one.as_row() for one in verdict.findings]
        self.rules_version = f"{RULES_VERSION}/{source.version}"
        self.compliance_blocked_reason = verdict.reason
        self.compliance_status = self.Status.BLOCKED if verdict.holding else self.Status.APPROVED
        self.sms_consent_status = (
            self.SmsConsent.OPTED_IN
            if source.is_sms_consent_covered and self.certificate_id and self.phone
            else self.SmsConsent.UNKNOWN
        )

    def is_of(self, phone: str, email_key: str) -> bool:
        """Say whether a repeat with these names the same person as this lead, as first posted.

        At least one of the two is equal and none is unequal; a missing side is not unequal.
        Source: contract §7.
        """
        pairs = [(self.posted_phone, phone), (self.posted_email_key, email_key)]
        known = [(mine, theirs) for mine, theirs in pairs if mine and theirs]
        return bool(known) and all(mine == theirs for mine, theirs in known)


def to_millisecond(at: datetime) -> datetime:
    """Return `at` cut to the millisecond, so that memory, row and wire hold the same time."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def now() -> datetime:
    """Return the present time, UTC, to the millisecond."""
    return to_millisecond(timezone.now())
