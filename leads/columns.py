"""The columns of leads: one list of names, labels and values for every page and file.

Names are those of the contract where it has one. Whatever may name a person has a mask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from leads import masks
from leads.models import Lead
from sources import looks
from sources.rules import Mode

NONE = SafeString("\u2013")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: which fields of a lead it reads, its value, and how that is shown.

    `mask` makes of the value what everybody may see, None where that is all of it; `look` shows
    the lead in a list, by default the masked value as text.
    """

    name: str
    label: str
    fields: tuple[str, ...]
    value: Callable[[Lead], Any]
    mask: Callable[[Any], str] | None = None
    look: Callable[[Lead], SafeString] | None = None
    is_number: bool = False
    has_tags: bool = False

    def masked(self, lead: Lead) -> str:
        """Return the value as everybody may see it, "" for none."""
        value = self.value(lead)
        if value in (None, ""):
            return ""
        return self.mask(value) if self.mask else str(value)

    def shown(self, lead: Lead) -> SafeString:
        """Return the cell of a list."""
        if self.look:
            return self.look(lead)
        text = self.masked(lead)
        return looks.marked(text) if text else NONE


def column(name: str, label: str, source: str, mask: Any = None, **more: Any) -> Column:
    """Return the column of one field, which may be one of a related row: `source__name`."""

    def value(lead: Lead) -> Any:
        found: Any = lead
        for part in source.split("__"):
            found = getattr(found, part)
        return found

    return Column(name, label, (source,), value, mask, **more)


def at(name: str, label: str, source: str) -> Column:
    """Return the column of a moment."""

    def look(lead: Lead) -> SafeString:
        found = getattr(lead, source)
        return looks.moment(found) if found else NONE

    return column(name, label, source, look=look)


def money(name: str, label: str, source: str) -> Column:
    """Return the column of an amount."""

    def look(lead: Lead) -> SafeString:
        amount = getattr(lead, source)
        return NONE if amount is None else SafeString(looks.money(amount))

    return column(name, label, source, look=look, is_number=True)


def status(lead: Lead) -> SafeString:
    """Return the status with what else must not be overlooked."""
    words = [lead.compliance_status]
    words += ["test"] if lead.is_test else []
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
    at("createdAt", "Received", "received_at"),
    Column(
        *("person", "Person", ("first_name", "last_name", "phone", "email")),
        value=masks.who,  # masked as it is
        look=person,
    ),
    Column(
        *("complianceStatus", "Status", ("compliance_status",)),
        value=lambda lead: lead.compliance_status,
        look=status,
    ),
    Column("findings", "Findings", ("found",), lambda lead: lead.found, look=findings),
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
    Column("tags", "Tags", (), lambda lead: ", ".join(one.name for one in lead.tags.all()),
           look=tags, has_tags=True),
    column("firstName", "First name", "first_name", masks.name),
    column("lastName", "Last name", "last_name", masks.name),
    column("phone", "Phone", "phone", masks.phone),
    column("phoneType", "Phone type", "phone_type", masks.phone_type),
    column("email", "E-mail", "email", masks.email),
    column("birthDate", "Born", "birth_date", masks.year),
    column("city", "City", "city", masks.hidden),
    column("postalCode", "ZIP", "postal_code", masks.postal_code),
    column("complianceBlockedReason", "Blocked because", "compliance_blocked_reason"),
    column("smsConsentStatus", "SMS consent", "sms_consent_status"),
    column("externalId", "Vendor's id", "external_id", masks.reference),
    column("sellerLeadId", "Seller's id", "seller_lead_id", masks.reference),
    column("utmSource", "UTM source", "utm_source", masks.reference),
    column("utmMedium", "UTM medium", "utm_medium", masks.reference),
    column("utmCampaign", "UTM campaign", "utm_campaign", masks.reference),
    column("landingPage", "Landing page", "landing_page", masks.site),
    column("ipAddress", "IP address", "ip_address", masks.address),
    at("approvedAt", "Approved", "approved_at"),
    at("modifiedAt", "Changed", "modified_at"),
    Column("id", "Id", (), lambda lead: lead.id, look=identity),
)  # fmt: skip
BY_NAME = {one.name: one for one in COLUMNS}
BY_DEFAULT = (
    *("createdAt", "person", "complianceStatus", "findings", "source", "state", "product"),
    "price",
)
