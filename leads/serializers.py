"""The lead out, as the wire shows it: for intake and the read API alike.

Source: contract §4, §10; the shapes of the read API are those of the public API's description.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django.conf import settings

from leads import masks
from leads.changes import LeadChange
from leads.models import Lead
from sources.decimals import UNIT
from sources.models import Source, Tag

# How clients may colour a status.
TONES = {
    Lead.Status.APPROVED: "success",
    Lead.Status.BLOCKED: "warning",
    Lead.Status.REJECTED: "danger",
}


def intake_answer(
    lead: Lead,
    source: Source,
    *,
    opted_out_at: datetime | None = None,
    is_person_known: bool = True,
    has_numbers: bool | None = None,
) -> dict[str, Any]:
    """Return the lead as section 4 of the contract has it: every key, None for the unknown.

    `opted_out_at`: since when a suppression of text messages stands against the person; not
    `is_person_known`: nobody can say whether one does. `has_numbers`: amounts are numbers, not
    texts; None: as the setting INTAKE_DECIMALS says.
    """
    if has_numbers is None:
        has_numbers = settings.INTAKE_HAS_NUMBERS
    price: Any = price_number if has_numbers else price_text
    amount: Any = whole_number if has_numbers else decimal_text
    sms_consent = lead.sms_consent_status if is_person_known else Lead.SmsConsent.UNKNOWN
    if opted_out_at:
        sms_consent = Lead.SmsConsent.OPTED_OUT
    is_opted_in = sms_consent == Lead.SmsConsent.OPTED_IN
    return {
        "metadata": {
            "trustedFormUrl": lead.trusted_form_url or None,
            "utmSource": lead.utm_source or None,
            "utmMedium": lead.utm_medium or None,
            "utmCampaign": lead.utm_campaign or None,
            "utmTerm": lead.utm_term or None,
            "utmContent": lead.utm_content or None,
            "referrer": lead.referrer or None,
            "landingPage": lead.landing_page or None,
            "subId": lead.sub_id or None,
            "pubId": lead.pub_id or None,
            "ipAddress": lead.ip_address or None,
            "userAgent": lead.user_agent or None,
            "externalId": lead.external_id or None,
            "sellerLeadId": lead.seller_lead_id or None,
            "createdAt": time_text(lead.received_at),
            "price": price(lead.price),
            "directPostPrice": price(lead.direct_post_price),
            "product": lead.product or None,
            "vertical": lead.vertical or None,
            "complianceStatus": str(lead.compliance_status),
            "complianceBlockedReason": lead.compliance_blocked_reason or None,
            "sourceMetadata": dict(sorted(lead.source_metadata.items())),
            "assignedPhoneNumberId": lead.assigned_phone_number_id or None,
            "smsConsentStatus": str(sms_consent),
            "smsOptedOut": opted_out_at is not None,
            "smsOptOutAt": None if opted_out_at is None else time_text(opted_out_at),
            "smsOptInAt": None,  # the certificate's own time, once certificates are verified
            "smsHelpRequestedAt": None,
            "smsConsentPhoneNumber": lead.phone if is_opted_in else None,
            "userId": None if source.owner_id is None else str(source.owner_id),
            "businessId": str(lead.business_id),
        },
        "contact": {
            "firstName": lead.first_name or None,
            "lastName": lead.last_name or None,
            "streetAddress": {
                "line1": lead.address_line1 or None,
                "line2": lead.address_line2 or None,
                "city": lead.city or None,
                "state": lead.state or None,
                "province": lead.province or None,
                "region": lead.region or None,
                "postalCode": lead.postal_code or None,
                "country": lead.country or None,
                "additionalInfo": lead.additional_info or None,
            },
            "phone": (
                {"number": lead.phone, "type": lead.phone_type or None} if lead.phone else None
            ),
            "email": lead.email or None,
        },
        "customer": {
            "gender": lead.gender or None,
            "height": amount(lead.height),
            "weight": amount(lead.weight),
            "birthDate": date_text(lead.birth_date),
            "maritalStatus": lead.marital_status or None,
            "income": amount(lead.income),
            "isHomeowner": lead.is_homeowner,
            "monthsAtResidence": amount(lead.months_at_residence),
            "creditScore": amount(lead.credit_score),
            "hasBankruptcy": lead.has_bankruptcy,
            "employmentType": lead.employment_type or None,
            "numberOfDependents": amount(lead.number_of_dependents),
            "hasMedicalCondition": lead.has_medical_condition,
        },
        "id": str(lead.id),
        "createdAt": time_text(lead.received_at),
        "modifiedAt": None if lead.modified_at is None else time_text(lead.modified_at),
    }


def read_answer(
    lead: Lead,
    source: Source,
    tags: Iterable[Tag],
    *,
    is_masked: bool,
    opted_out_at: datetime | None = None,
    archiving: LeadChange | None = None,
) -> dict[str, Any]:
    """Return the lead as the read API shows it: section 4 with numbers, and more beside it.

    `is_masked`: what may name the person is hidden. `archiving`: the change that archived it.
    Source: contract §10, `LeadResponse`.
    """
    shown = masks.masked(lead) if is_masked else lead
    answer = intake_answer(shown, source, opted_out_at=opted_out_at, has_numbers=True)
    business_id = str(lead.business_id)
    answer["metadata"] |= {
        "organizationId": business_id,
        "origin": "intake",
        "importBatchId": None,
        "isImported": False,
        "trustedFormCheckedAt": None,
        "sourceId": str(lead.source_id),
    }
    answer["contact"] |= {"coordinate": None, "timeZoneId": None, "avatarUrl": None}
    if answer["contact"]["phone"]:
        answer["contact"]["phone"]["phoneIdentityId"] = None
    return answer | {
        "businessId": business_id,
        "organizationId": business_id,
        "phoneIdentity": None,
        "isTest": lead.is_test,
        "deletedByUserId": None,
        "archiveNote": archiving.after.get("note") or None if archiving else None,
        "tags": [tag_summary(one) for one in tags],
        **state_of(lead, archiving),
    }


# What a row in a list is made of, besides its tags.
TABLE_COLUMNS = (
    *("id", "business__name", "source__name", "received_at", "modified_at", "compliance_status"),
    *("first_name", "last_name", "phone", "email", "price", "is_test", "deleted_at", "archived_at"),
)


def table_row(
    lead: Lead, tags: Iterable[Tag], *, is_masked: bool, archiving: LeadChange | None = None
) -> dict[str, Any]:
    """Return the lead as lists of the read API show it, by `TABLE_COLUMNS`; `LeadTableRow`."""
    first_name, last_name, phone, email = lead.first_name, lead.last_name, lead.phone, lead.email
    if is_masked:
        first_name, last_name = masks.name(first_name), masks.name(last_name)
        phone, email = masks.phone(phone), masks.email(email)
    business_id = str(lead.business_id)
    return {
        "id": str(lead.id),
        "firstName": first_name or None,
        "lastName": last_name or None,
        "phone": phone,
        "email": email,
        "createdAt": time_text(lead.received_at),
        "updatedAt": time_text(lead.modified_at or lead.received_at),
        "status": str(lead.compliance_status),
        "statusTone": TONES[Lead.Status(lead.compliance_status)],
        "price": price_number(lead.price),
        "isTest": lead.is_test,
        "businessId": business_id,
        "organizationId": business_id,
        "organization": {"id": business_id, "name": lead.business.name},
        "source": {"id": str(lead.source_id), "name": lead.source.name},
        "tags": [tag_summary(one) for one in tags],
        **state_of(lead, archiving),
    }


def state_of(lead: Lead, archiving: LeadChange | None) -> dict[str, Any]:
    """Return what a lead and its row in a list say of where it stands."""
    by = archiving.by_id if archiving else None
    return {
        "enabled": lead.deleted_at is None,
        "deletedAt": None if lead.deleted_at is None else time_text(lead.deleted_at),
        "archivedAt": None if lead.archived_at is None else time_text(lead.archived_at),
        "archivedByUserId": None if by is None else str(by),
        "archiveReason": archiving.after.get("reason") if archiving else None,
        "isArchived": lead.archived_at is not None,
        "currentLeadStatus": None,
        "processingStatus": "Ready",
        "processingStatusReason": None,
        "processingStatusChangedAt": None,
    }


def tag_summary(tag: Tag) -> dict[str, Any]:
    """Return a tag as other things name it; source: `TagSummary`."""
    return {
        "id": str(tag.id),
        "name": tag.name,
        "normalizedName": tag.key,
        "color": tag.color or None,
    }


def time_text(at: datetime) -> str:
    """Return RFC 3339 in UTC to the millisecond, e.g. "2026-11-23T09:47:12.345Z"."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def date_text(on: date | None) -> str | None:
    """Return YYYY-MM-DD, None for none."""
    return None if on is None else on.isoformat()


def decimal_text(number: Decimal | None) -> str | None:
    """Return a decimal without exponent or needless zeros, e.g. "180" or "5.5"; None for none."""
    if number is None:
        return None
    text = f"{number.quantize(UNIT):f}"
    return text.rstrip("0").rstrip(".")


def price_text(price: Decimal | None) -> str | None:
    """Return a price with two to four decimals, e.g. "10.00" or "0.0125"; None for none."""
    if price is None:
        return None
    text = f"{price.quantize(UNIT):f}"
    return text[:-2] + text[-2:].rstrip("0")


def price_number(price: Decimal | None) -> float | None:
    """Return a price as a JSON number, e.g. 12.5; None for none.

    A double tells all prices apart that the lead can have.
    """
    return None if price is None else float(price)


def whole_number(number: Decimal | None) -> int | None:
    """Return a number without fraction, as the public API has them; None for none."""
    return None if number is None else round(number)
