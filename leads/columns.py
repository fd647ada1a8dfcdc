"""The columns of leads: one list of names, labels and values for every page and file.

Names are those of the contract where it has one. Whatever may name a person has a mask.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from leads import masks
from leads.files import Field, Type, written
from leads.models import Lead
from sources import looks
from sources.rules import Mode

NONE = SafeString("\u2013")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: the fields of a lead that it reads, what it makes of their values, and how.

    `value` and `mask` take the values of `fields`, in order: the one makes what there is, the other
    what of it everybody may see, None where that is all of it. `look` shows the lead in a list, by
    default the masked value as text. A column that `has_tags` reads their names, with commas; the
    texts of one that `is_ours` are our own words.
    """

    name: str
    label: str
    fields: tuple[str, ...]
    value: Callable[..., Any] | None = None  # None: the value of the only field
    mask: Callable[..., str] | None = None
    look: Callable[[Lead], SafeString] | None = None
    type: Type = Type.TEXT
    has_tags: bool = False
    is_ours: bool = False

    @property
    def is_number(self) -> bool:
        return self.type in (Type.NUMBER, Type.PRICE)

    def made_by(self, *, is_masked: bool) -> Callable[..., Any] | None:
        """Return what makes the value of those of the fields; None: it is that of the only one."""
        return self.mask if is_masked and self.mask else self.value

    def field(self, *, is_masked: bool) -> Field:
        """Return the column as one of a file: what is masked is text."""
        kind = Type.TEXT if is_masked and self.mask else self.type
        return Field(self.name, kind, is_ours=self.is_ours)

    def masked(self, lead: Lead) -> str:
        """Return the value as everybody may see it and files have it, "" for none."""
        return self.told(lead, is_masked=True)

    def told(self, lead: Lead, *, is_masked: bool) -> str:
        """Return the value of a lead as files have it, "" for none."""
        values = [names_of_tags(lead)] if self.has_tags else [at(lead, one) for one in self.fields]
        make = self.made_by(is_masked=is_masked)
        found = make(*values) if make else values[0]
        return written(self.field(is_masked=is_masked).type, found)

    def shown(self, lead: Lead) -> SafeString:
        """Return the cell of a list."""
        if self.look:
            return self.look(lead)
        text = self.masked(lead)
        return looks.marked(text) if text else NONE


def at(lead: Lead, path: str) -> Any:
    """Return the value of a field of a lead, or of a related row: `source__name`."""
    found: Any = lead
    for part in path.split("__"):
        found = getattr(found, part)
    return found


def names_of_tags(lead: Lead) -> str:
    """Return the names of the tags of a lead, in one order on every database."""
    return ", ".join(sorted(one.name for one in lead.tags.all()))


def column(name: str, label: str, source: str, mask: Any = None, **more: Any) -> Column:
    """Return the column of one field, which may be one of a related row: `source__name`."""
    return Column(name, label, (source,), None, mask, **more)


def moment(name: str, label: str, source: str) -> Column:
    """Return the column of a moment."""

    def look(lead: Lead) -> SafeString:
        found = getattr(lead, source)
        return looks.moment(found) if found else NONE

    return column(name, label, source, look=look, type=Type.MOMENT)


def money(name: str, label: str, source: str) -> Column:
    """Return the column of an amount."""

    def look(lead: Lead) -> SafeString:
        amount = getattr(lead, source)
        return NONE if amount is None else SafeString(looks.money(amount))

    return column(name, label, source, look=look, type=Type.PRICE)


def private(name: str, label: str, source: str, type: Type = Type.TEXT) -> Column:
    """Return the column of what is told of a person only when revealed, and not once erased."""

    nothing = "" if type is Type.TEXT else None

    def value(erased_at: Any, found: Any) -> Any:
        return nothing if erased_at else found

    def mask(erased_at: Any, found: Any) -> str:
        return "" if erased_at else masks.hidden(found)

    return Column(name, label, ("erased_at", source), value, mask, type=type)


def answers_as_json(erased_at: Any, answers: dict[str, str]) -> str:
    """Return what a vendor sent besides the fields that are known, as JSON, "" for nothing."""
    if erased_at or not answers:
        return ""
    return json.dumps(dict(sorted(answers.items())), ensure_ascii=False)


def consented(status: str, phone: str) -> str:
    """Return the phone that its owner consented to be texted at; source: contract §4."""
    return phone if status == Lead.SmsConsent.OPTED_IN else ""


def status(lead: Lead) -> SafeString:
    """Return the status with what else must not be overlooked."""
    words = [lead.compliance_status]
    words += ["test"] if lead.is_test else []
    words += ["archived"] if lead.archived_at else []
    words += ["deleted"] if lead.deleted_at else []
    words += ["erased"] if lead.erased_at else []
    return format_html_join(" ", "{}", ((looks.badge(one),) for one in words))


def findings(lead: Lead) -> SafeString:
    """Return what was found when the lead was judged last; what holds it stands out."""
    told = [one.split(":") for one in lead.found.split()]
    if not told:
        return NONE
    return format_html_join(
        " ",
        "{}",
        (
            # not by the colour alone
            (looks.badge(*((f"{code} (flag)", "plain") if mode == Mode.FLAG else (code, "wait"))),)
            for code, mode in told
        ),
    )


def tags(lead: Lead) -> SafeString:
    return format_html_join(" ", "{}", ((looks.badge(one.name),) for one in lead.tags.all()))


def person(lead: Lead) -> SafeString:
    return looks.marked(masks.who(lead))


def source(lead: Lead) -> SafeString:
    return looks.marked(lead.source.name)


def identity(lead: Lead) -> SafeString:
    return format_html('<code class="id">{}</code>', lead.id)


COLUMNS = (
    moment("createdAt", "Received", "received_at"),
    Column(
        *("person", "Person", ("first_name", "last_name", "phone", "email")),
        value=masks.in_one_line,
        mask=masks.person,
        look=person,
    ),
    column("complianceStatus", "Status", "compliance_status", look=status, is_ours=True),
    column("findings", "Findings", "found", look=findings, is_ours=True),
    column("source", "Source", "source__name"),
    column("vendor", "Vendor", "source__vendor__name"),
    column("business", "Business", "business__name"),
    column("state", "State", "state", masks.state),
    column("product", "Product", "product", masks.reference),
    column("vertical", "Vertical", "vertical", masks.reference),
    column("subId", "Sub ID", "sub_id", masks.reference),
    column("pubId", "Pub ID", "pub_id", masks.reference),
    money("price", "Price", "price"),
    money("directPostPrice", "Direct price", "direct_post_price"),
    Column("tags", "Tags", (), look=tags, has_tags=True),
    column("firstName", "First name", "first_name", masks.name),
    column("lastName", "Last name", "last_name", masks.name),
    column("phone", "Phone", "phone", masks.phone),
    column("phoneType", "Phone type", "phone_type", masks.phone_type),
    column("email", "E-mail", "email", masks.email),
    column("birthDate", "Born", "birth_date", masks.year, type=Type.DATE),
    private("gender", "Gender", "gender"),
    column("line1", "Address", "address_line1", masks.hidden),
    column("line2", "Address 2", "address_line2", masks.hidden),
    column("city", "City", "city", masks.hidden),
    column("postalCode", "ZIP", "postal_code", masks.postal_code),
    column("country", "Country", "country", masks.reference),
    column("additionalInfo", "More of the address", "additional_info", masks.hidden),
    column("complianceBlockedReason", "Blocked because", "compliance_blocked_reason"),
    Column(
        *("trustedFormUrl", "Certificate", ("trusted_form_url", "certificate_id")),
        value=lambda url, certificate_id: url,
        mask=masks.certificate,
    ),
    moment("consentExpiresAt", "Certificate until", "consent_expires_at"),
    column("smsConsentStatus", "SMS consent", "sms_consent_status"),
    Column(
        *("smsConsentPhoneNumber", "SMS consent for", ("sms_consent_status", "phone")),
        value=consented,
        mask=lambda status, phone: masks.phone(consented(status, phone)),
    ),
    column("externalId", "Vendor's id", "external_id", masks.reference),
    column("sellerLeadId", "Seller's id", "seller_lead_id", masks.reference),
    column("utmSource", "UTM source", "utm_source", masks.reference),
    column("utmMedium", "UTM medium", "utm_medium", masks.reference),
    column("utmCampaign", "UTM campaign", "utm_campaign", masks.reference),
    column("utmTerm", "UTM term", "utm_term", masks.reference),
    column("utmContent", "UTM content", "utm_content", masks.reference),
    column("referrer", "Referrer", "referrer", masks.site),
    column("landingPage", "Landing page", "landing_page", masks.site),
    column("ipAddress", "IP address", "ip_address", masks.address),
    column("userAgent", "Browser", "user_agent", masks.hidden),
    Column(
        *("sourceMetadata", "More of the vendor", ("erased_at", "source_metadata")),
        value=answers_as_json,
        mask=lambda erased_at, answers: "" if erased_at else masks.hidden(answers),
    ),
    private("height", "Height", "height", Type.NUMBER),
    private("weight", "Weight", "weight", Type.NUMBER),
    private("maritalStatus", "Marital status", "marital_status"),
    private("income", "Income", "income", Type.NUMBER),
    private("isHomeowner", "Homeowner", "is_homeowner", Type.BOOL),
    private("monthsAtResidence", "Months at residence", "months_at_residence", Type.NUMBER),
    private("creditScore", "Credit score", "credit_score", Type.NUMBER),
    private("hasBankruptcy", "Bankruptcy", "has_bankruptcy", Type.BOOL),
    private("employmentType", "Employment", "employment_type"),
    private("numberOfDependents", "Dependents", "number_of_dependents", Type.NUMBER),
    private("hasMedicalCondition", "Medical condition", "has_medical_condition", Type.BOOL),
    column("isTest", "Test", "is_test", type=Type.BOOL),
    moment("approvedAt", "Approved", "approved_at"),
    moment("modifiedAt", "Changed", "modified_at"),
    moment("archivedAt", "Archived", "archived_at"),
    moment("deletedAt", "Deleted", "deleted_at"),
    moment("erasedAt", "Erased", "erased_at"),
    column("businessId", "Business id", "business_id"),
    column("id", "Id", "id", look=identity),
)
BY_NAME = {one.name: one for one in COLUMNS}
CALLED = {one.name: str(one.verbose_name) for one in Lead._meta.concrete_fields}


def called(names: Collection[str]) -> dict[str, str]:
    """Return what fields of a lead are called in a sentence, by their names, in the model's order.

    One that the model has no more goes by its name, and comes last.
    """
    known = {name: label for name, label in CALLED.items() if name in names}
    return known | {name: name for name in sorted(names) if name not in known}


BY_DEFAULT = (
    *("createdAt", "person", "complianceStatus", "findings", "source", "state", "product"),
    "price",
)
