"""D: takes posts the way most people would write it with Django and its REST framework."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from typing import Any

import phonenumbers
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from intake.models import Post
from leads.models import Lead, Suppression
from sources.models import Source, SourceKey

GENDERS = {"male": "M", "female": "F"}
CERTIFICATE_LASTS = timedelta(hours=72)
KEPT_HEADERS = ("Content-Type", "Content-Length", "User-Agent", "Accept")


class SourceKeyAuthentication(BaseAuthentication):
    """The header pair of a source."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, SourceKey]:
        digest = sha256(request.headers.get("X-Leadping-Source-Key", "").encode()).hexdigest()
        try:
            key = (
                SourceKey.objects.live(timezone.now())
                .select_related("source")
                .get(digest=digest, source=request.headers.get("X-Leadping-Source-Id"))
            )
        except (SourceKey.DoesNotExist, ValidationError):
            raise AuthenticationFailed from None
        return AnonymousUser(), key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="leadping"'


# --- in -----------------------------------------------------------------------------------------


def text(max_length: int, source: str | None = None) -> serializers.CharField:
    """Return a text that may be left out."""
    return serializers.CharField(
        source=source, max_length=max_length, required=False, allow_blank=True
    )


def decimal(source: str | None = None) -> serializers.DecimalField:
    """Return a price that may be left out."""
    return serializers.DecimalField(
        source=source, max_digits=12, decimal_places=4, required=False, allow_null=True
    )


class PostSerializer(serializers.Serializer):
    """A flat post."""

    firstName = text(100, "first_name")
    lastName = text(100, "last_name")
    email = serializers.EmailField(max_length=320, required=False, allow_blank=True)
    phone = text(100)
    phoneType = text(50, "phone_type")
    dateOfBirth = serializers.DateField(source="birth_date", required=False, allow_null=True)
    address1 = text(200, "address_line1")
    address2 = text(200, "address_line2")
    city = text(200)
    state = text(100)
    zip = text(20, "postal_code")
    gender = text(100)
    subId = text(255, "sub_id")
    pubId = text(255, "pub_id")
    sellerLeadId = text(255, "seller_lead_id")
    externalId = text(255, "external_id")
    price = decimal()
    directPostPrice = decimal("direct_post_price")
    utmSource = text(512, "utm_source")
    utmMedium = text(512, "utm_medium")
    utmCampaign = text(512, "utm_campaign")
    utmTerm = text(512, "utm_term")
    utmContent = text(512, "utm_content")
    product = text(100)
    vertical = text(100)
    referrer = text(2048)
    landingPage = text(2048, "landing_page")
    trustedFormUrl = serializers.URLField(
        source="trusted_form_url", max_length=2048, required=False, allow_blank=True
    )
    sourceMetadata = serializers.DictField(source="source_metadata", required=False)

    def validate_phone(self, value: str) -> str:
        if not value:
            return ""
        try:
            number = phonenumbers.parse(value, "US")
        except phonenumbers.NumberParseException:
            raise serializers.ValidationError("This is not a phone number.") from None
        if not phonenumbers.is_valid_number(number):
            raise serializers.ValidationError("This is not a phone number.")
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)

    def validate_gender(self, value: str) -> str:
        return GENDERS.get(value.lower(), "Other") if value else ""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("phone") and not attrs.get("email"):
            raise serializers.ValidationError("A lead needs a phone number or an e-mail address.")
        return attrs


# --- out ----------------------------------------------------------------------------------------


class MetadataSerializer(serializers.ModelSerializer):
    """Where the lead came from and what became of it."""

    trustedFormUrl = serializers.CharField(source="trusted_form_url")
    utmSource = serializers.CharField(source="utm_source")
    utmMedium = serializers.CharField(source="utm_medium")
    utmCampaign = serializers.CharField(source="utm_campaign")
    utmTerm = serializers.CharField(source="utm_term")
    utmContent = serializers.CharField(source="utm_content")
    landingPage = serializers.CharField(source="landing_page")
    subId = serializers.CharField(source="sub_id")
    pubId = serializers.CharField(source="pub_id")
    ipAddress = serializers.CharField(source="ip_address")
    userAgent = serializers.CharField(source="user_agent")
    externalId = serializers.CharField(source="external_id")
    sellerLeadId = serializers.CharField(source="seller_lead_id")
    createdAt = serializers.DateTimeField(source="received_at")
    directPostPrice = decimal("direct_post_price")
    complianceStatus = serializers.CharField(source="compliance_status")
    complianceBlockedReason = serializers.CharField(source="compliance_blocked_reason")
    sourceMetadata = serializers.JSONField(source="source_metadata")
    assignedPhoneNumberId = serializers.CharField(source="assigned_phone_number_id")
    smsConsentStatus = serializers.CharField(source="sms_consent_status")
    smsOptedOut = serializers.SerializerMethodField()
    smsOptOutAt = serializers.SerializerMethodField()
    smsOptInAt = serializers.SerializerMethodField()
    smsHelpRequestedAt = serializers.SerializerMethodField()
    smsConsentPhoneNumber = serializers.SerializerMethodField()
    userId = serializers.CharField(source="source.owner_id")
    businessId = serializers.CharField(source="business_id")

    class Meta:
        model = Lead
        fields = [
            *("trustedFormUrl", "utmSource", "utmMedium", "utmCampaign", "utmTerm", "utmContent"),
            *("referrer", "landingPage", "subId", "pubId", "ipAddress", "userAgent", "externalId"),
            *("sellerLeadId", "createdAt", "price", "directPostPrice", "product", "vertical"),
            *("complianceStatus", "complianceBlockedReason", "sourceMetadata"),
            *("assignedPhoneNumberId", "smsConsentStatus", "smsOptedOut", "smsOptOutAt"),
            *("smsOptInAt", "smsHelpRequestedAt", "smsConsentPhoneNumber", "userId", "businessId"),
        ]

    def get_smsOptedOut(self, lead: Lead) -> bool:
        return self.context["is_suppressed"]

    def get_smsOptOutAt(self, lead: Lead) -> None:
        return None

    def get_smsOptInAt(self, lead: Lead) -> None:
        return None

    def get_smsHelpRequestedAt(self, lead: Lead) -> None:
        return None

    def get_smsConsentPhoneNumber(self, lead: Lead) -> str | None:
        return lead.phone if lead.sms_consent_status == Lead.SmsConsent.OPTED_IN else None


class AddressSerializer(serializers.ModelSerializer):
    """Where they live."""

    line1 = serializers.CharField(source="address_line1")
    line2 = serializers.CharField(source="address_line2")
    postalCode = serializers.CharField(source="postal_code")
    additionalInfo = serializers.CharField(source="additional_info")

    class Meta:
        model = Lead
        fields = [
            *("line1", "line2", "city", "state", "province", "region", "postalCode", "country"),
            "additionalInfo",
        ]


class PhoneSerializer(serializers.ModelSerializer):
    """Their phone."""

    number = serializers.CharField(source="phone")
    type = serializers.CharField(source="phone_type")

    class Meta:
        model = Lead
        fields = ["number", "type"]


class ContactSerializer(serializers.ModelSerializer):
    """How to reach them."""

    firstName = serializers.CharField(source="first_name")
    lastName = serializers.CharField(source="last_name")
    streetAddress = AddressSerializer(source="*")
    phone = PhoneSerializer(source="*")

    class Meta:
        model = Lead
        fields = ["firstName", "lastName", "streetAddress", "phone", "email"]


class CustomerSerializer(serializers.ModelSerializer):
    """Who they are."""

    birthDate = serializers.DateField(source="birth_date")
    maritalStatus = serializers.CharField(source="marital_status")
    isHomeowner = serializers.BooleanField(source="is_homeowner")
    monthsAtResidence = decimal("months_at_residence")
    creditScore = decimal("credit_score")
    hasBankruptcy = serializers.BooleanField(source="has_bankruptcy")
    employmentType = serializers.CharField(source="employment_type")
    numberOfDependents = decimal("number_of_dependents")
    hasMedicalCondition = serializers.BooleanField(source="has_medical_condition")

    class Meta:
        model = Lead
        fields = [
            *("gender", "height", "weight", "birthDate", "maritalStatus", "income", "isHomeowner"),
            *("monthsAtResidence", "creditScore", "hasBankruptcy", "employmentType"),
            *("numberOfDependents", "hasMedicalCondition"),
        ]


class LeadSerializer(serializers.ModelSerializer):
    """A lead as it is answered."""

    metadata = MetadataSerializer(source="*")
    contact = ContactSerializer(source="*")
    customer = CustomerSerializer(source="*")
    createdAt = serializers.DateTimeField(source="received_at")
    modifiedAt = serializers.DateTimeField(source="modified_at")

    class Meta:
        model = Lead
        fields = ["metadata", "contact", "customer", "id", "createdAt", "modifiedAt"]


# --- between ------------------------------------------------------------------------------------


class IntakeView(APIView):
    """`POST /leads/intake`."""

    authentication_classes = [SourceKeyAuthentication]

    def post(self, request: Request) -> Response:
        started_at = timezone.now()
        body = request.body  # before it is parsed, after which it can no longer be had
        key: SourceKey = request.auth
        source = key.source
        if not source.is_enabled:
            raise PermissionDenied("The source is switched off.")
        serializer = PostSerializer(data=request.data)
        if not serializer.is_valid():
            return Response(serializer.errors, status=422)
        values = serializer.validated_data
        phone, email_key = values.get("phone", ""), values.get("email", "").lower()
        is_suppressed = find_suppressed(source, phone, email_key)
        findings = []
        if not source.is_compliance_approved:
            findings.append("The source has not passed compliance review.")
        if is_suppressed:
            findings.append("This person may not be contacted.")
        if is_duplicate(source, phone, email_key):
            findings.append("This person is already known.")
        status = Lead.Status.BLOCKED if findings else Lead.Status.APPROVED
        certificate = values.get("trusted_form_url", "")
        headers = {name: request.headers[name] for name in KEPT_HEADERS if name in request.headers}
        with transaction.atomic():
            lead = Lead.objects.create(
                **values,
                business_id=source.business_id,
                source=source,
                received_at=started_at,
                is_test=key.is_test,
                compliance_status=status,
                compliance_blocked_reason=" ".join(findings),
                desk_tab="review" if findings else None,
                findings=findings,
                rules_version="1",
                judged_at=timezone.now(),
                approved_at=None if findings else started_at,
                consent_expires_at=started_at + CERTIFICATE_LASTS if certificate else None,
                certificate_id=certificate.rpartition("/")[2][:40],
                ip_address=request.META["REMOTE_ADDR"],
                user_agent=request.headers.get("User-Agent", "")[:512],
                name_key=f"{values.get('last_name', '')} {values.get('first_name', '')}".lower(),
                email_key=email_key,
                posted_email_key=email_key,
                posted_phone=phone,
            )
            Post.objects.create(
                received_at=started_at,
                source=source,
                key=key,
                request_id=request.headers.get("X-Request-Id", "")[:64],
                method=request.method,
                path=request.path,
                address=request.META["REMOTE_ADDR"],
                headers=headers,
                body=body,
                body_size=len(body),
                status=201,
                outcome=status.lower(),
                took_us=(timezone.now() - started_at) // timedelta(microseconds=1),
                lead=lead,
            )
        answer = LeadSerializer(lead, context={"is_suppressed": is_suppressed})
        return Response(answer.data, status=201)


def find_suppressed(source: Source, phone: str, email_key: str) -> bool:
    """Say whether the person may not be contacted."""
    standing = Suppression.objects.filter(
        Q(business=source.business_id) | Q(business=None), released_at=None
    )
    return any_of_person(standing, phone, email_key)


def is_duplicate(source: Source, phone: str, email_key: str) -> bool:
    """Say whether the person is a lead of the source already."""
    known = Lead.objects.filter(
        business=source.business_id,
        source=source,
        compliance_status=Lead.Status.APPROVED,
        is_test=False,
        received_at__gte=timezone.now() - timedelta(days=30),
    )
    return any_of_person(known, phone, email_key)


def any_of_person(rows: QuerySet[Any], phone: str, email_key: str) -> bool:
    """Say whether a row names the phone or the e-mail address: by the index of each."""
    return bool(
        (phone and rows.filter(phone=phone).exists())
        or (email_key and rows.filter(email_key=email_key).exists())
    )


def healthz(request: HttpRequest) -> HttpResponse:
    """Say that it is alive."""
    return HttpResponse("alive\n", content_type="text/plain")


urlpatterns = [path("leads/intake", IntakeView.as_view()), path("healthz", healthz)]
