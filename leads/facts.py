"""Gathers what the compliance rules judge by."""

from collections.abc import Iterable
from zoneinfo import ZoneInfo

from leads import normalize
from leads.compliance import Facts
from leads.models import Lead
from sources.models import Source

# The last US zone in which a day begins.
LAST_US_ZONE = ZoneInfo("Pacific/Pago_Pago")


def facts_of(lead: Lead, source: Source) -> Facts:
    """Return the facts of a lead, stored or not yet, and of its source."""
    return Facts(
        arrived_on=lead.received_at.astimezone(LAST_US_ZONE).date(),
        is_source_approved=source.is_compliance_approved,
        allowed_states=listed(normalize.state(one) for one in source.allowed_states),
        allowed_products=listed(source.allowed_products),
        allowed_verticals=listed(source.allowed_verticals),
        is_trusted_form_required=source.is_trusted_form_required,
        state=lead.state,
        product=lead.product,
        vertical=lead.vertical,
        certificate_url=lead.trusted_form_url,
        certificate_id=lead.certificate_id,
        has_phone=bool(lead.phone),
        can_phone_exist=not lead.phone or normalize.can_phone_exist(lead.phone),
        birth_date=lead.birth_date,
    )


def listed(values: Iterable[str]) -> frozenset[str]:
    """Return a source's list as it is compared: trimmed and case-folded."""
    return frozenset(one.strip().casefold() for one in values)
