"""The lead out, as the wire shows it: for intake and the read API alike. Source: contract §4."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from leads.models import Lead
from sources.decimals import UNIT
from sources.models import Source


def intake_answer(
    lead: Lead,
    source: Source,
    *,
    opted_out_at: datetime | None = None,
    is_person_known: bool = True,
) -> dict[str, Any]:
    """Return the lead as section 4 of the contract has it: every key, None for the unknown.

    `opted_out_at`: since when a suppression of text messages stands against the person; not
    `is_person_known`: nobody can say whether one does.
    """
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
            "price": price_text(lead.price),
            "directPostPrice": price_text(lead.direct_post_price),
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
            "height": decimal_text(lead.height),
            "weight": decimal_text(lead.weight),
            "birthDate": date_text(lead.birth_date),
            "maritalStatus": lead.marital_status or None,
            "income": decimal_text(lead.income),
            "isHomeowner": lead.is_homeowner,
            "monthsAtResidence": decimal_text(lead.months_at_residence),
            "creditScore": decimal_text(lead.credit_score),
            "hasBankruptcy": lead.has_bankruptcy,
            "employmentType": lead.employment_type or None,
            "numberOfDependents": decimal_text(lead.number_of_dependents),
            "hasMedicalCondition": lead.has_medical_condition,
        },
        "id": str(lead.id),
        "createdAt": time_text(lead.received_at),
        "modifiedAt": None if lead.modified_at is None else time_text(lead.modified_at),
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
