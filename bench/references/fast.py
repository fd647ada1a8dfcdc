"""F: takes posts with FastAPI, pydantic and SQLAlchemy's asynchronous ORM over asyncpg."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Any
from uuid import UUID

import phonenumbers
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import (
    AfterValidator,
    AliasGenerator,
    BaseModel,
    ConfigDict,
    EmailStr,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel
from sqlalchemy import String, and_, exists, literal_column, make_url, or_, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.ext.declarative import DeferredReflection
from sqlalchemy.orm import DeclarativeBase

from sources.ids import uuid7

CERTIFICATE_LASTS = timedelta(hours=72)
KEPT_HEADERS = ("Content-Type", "Content-Length", "User-Agent", "Accept")
BLANK = literal_column("''")
GENDERS = {"male": "M", "female": "F", "": ""}

# --- the tables, as they are found at the start -------------------------------------------------


class Base(DeclarativeBase):
    pass


class Reflected(DeferredReflection):
    __abstract__ = True


class SourceKey(Reflected, Base):
    __tablename__ = "sources_sourcekey"


class Source(Reflected, Base):
    __tablename__ = "sources_source"


class Suppression(Reflected, Base):
    __tablename__ = "leads_suppression"


class Lead(Reflected, Base):
    __tablename__ = "leads_lead"


class Post(Reflected, Base):
    __tablename__ = "intake_post"


# As many connections as posts are under way at once: those beyond are made anew each time.
engine = create_async_engine(
    make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+asyncpg"), pool_size=16
)
Session = async_sessionmaker(engine, expire_on_commit=False)
# The texts of a lead, none of which may be NULL, and no default is in the table.
blank_lead: dict[str, str] = {}


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Learn the tables, and leave no connection open at the end."""
    async with engine.connect() as connection:
        await connection.run_sync(Reflected.prepare)
    for one in Lead.__table__.columns:
        if isinstance(one.type, String) and not one.nullable:
            blank_lead[one.name] = ""
    yield
    await engine.dispose()


async def get_session() -> AsyncIterator[AsyncSession]:
    async with Session() as session:
        yield session


# --- in -----------------------------------------------------------------------------------------


def as_e164(raw: str) -> str:
    """Return a phone number in E.164; raises ValueError for none."""
    if not raw:
        return ""
    try:
        number = phonenumbers.parse(raw, "US")
    except phonenumbers.NumberParseException:
        raise ValueError("not a phone number") from None
    if not phonenumbers.is_valid_number(number):
        raise ValueError("not a phone number")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def short(max_length: int) -> Any:
    return StringConstraints(strip_whitespace=True, max_length=max_length)


Word = Annotated[str, short(100)]
Line = Annotated[str, short(200)]
VendorId = Annotated[str, short(255)]
Tracking = Annotated[str, short(512)]
Url = Annotated[str, short(2048)]
Price = Annotated[Decimal, Field(max_digits=12, decimal_places=4)]


class PostIn(BaseModel):
    """A flat post; its attributes are named as the columns of a lead."""

    model_config = ConfigDict(alias_generator=to_camel)

    first_name: Word = ""
    last_name: Word = ""
    email: EmailStr | None = None
    phone: Annotated[str, AfterValidator(as_e164)] = ""
    phone_type: Word = ""
    birth_date: date | None = Field(None, alias="dateOfBirth")
    address_line1: Line = Field("", alias="address1")
    address_line2: Line = Field("", alias="address2")
    city: Line = ""
    state: Word = ""
    postal_code: Annotated[str, short(20)] = Field("", alias="zip")
    gender: Annotated[str, AfterValidator(lambda one: GENDERS.get(one.lower(), "Other"))] = ""
    sub_id: VendorId = ""
    pub_id: VendorId = ""
    seller_lead_id: VendorId = ""
    external_id: VendorId = ""
    price: Price | None = None
    direct_post_price: Price | None = None
    utm_source: Tracking = ""
    utm_medium: Tracking = ""
    utm_campaign: Tracking = ""
    utm_term: Tracking = ""
    utm_content: Tracking = ""
    product: Word = ""
    vertical: Word = ""
    referrer: Url = ""
    landing_page: Url = ""
    trusted_form_url: Url = ""
    source_metadata: dict[str, str | int | float | bool] = {}

    @model_validator(mode="after")
    def check_contact(self) -> PostIn:
        if not self.phone and not self.email:
            raise ValueError("a lead needs a phone number or an e-mail address")
        return self


# --- out ----------------------------------------------------------------------------------------


class Out(BaseModel):
    """What is read of a lead by the names of its columns and written in camel case."""

    model_config = ConfigDict(
        from_attributes=True, alias_generator=AliasGenerator(serialization_alias=to_camel)
    )


class MetadataOut(Out):
    trusted_form_url: str
    utm_source: str
    utm_medium: str
    utm_campaign: str
    utm_term: str
    utm_content: str
    referrer: str
    landing_page: str
    sub_id: str
    pub_id: str
    ip_address: str | None
    user_agent: str
    external_id: str
    seller_lead_id: str
    received_at: datetime = Field(serialization_alias="createdAt")
    price: Decimal | None
    direct_post_price: Decimal | None
    product: str
    vertical: str
    compliance_status: str
    compliance_blocked_reason: str
    source_metadata: dict[str, Any]
    assigned_phone_number_id: str
    sms_consent_status: str
    sms_opted_out: bool = False
    sms_opt_out_at: datetime | None = None
    sms_opt_in_at: datetime | None = None
    sms_help_requested_at: datetime | None = None
    sms_consent_phone_number: str | None = None
    user_id: int | None = None
    business_id: UUID


class AddressOut(Out):
    address_line1: str = Field(serialization_alias="line1")
    address_line2: str = Field(serialization_alias="line2")
    city: str
    state: str
    province: str
    region: str
    postal_code: str
    country: str
    additional_info: str


class PhoneOut(Out):
    phone: str = Field(serialization_alias="number")
    phone_type: str = Field(serialization_alias="type")


class ContactOut(Out):
    first_name: str
    last_name: str
    street_address: AddressOut
    phone: PhoneOut
    email: str


class CustomerOut(Out):
    gender: str
    height: Decimal | None
    weight: Decimal | None
    birth_date: date | None
    marital_status: str
    income: Decimal | None
    is_homeowner: bool | None
    months_at_residence: Decimal | None
    credit_score: Decimal | None
    has_bankruptcy: bool | None
    employment_type: str
    number_of_dependents: Decimal | None
    has_medical_condition: bool | None


class LeadOut(Out):
    metadata: MetadataOut
    contact: ContactOut
    customer: CustomerOut
    id: UUID
    created_at: datetime
    modified_at: datetime | None


def answer_of(lead: Any, owner_id: int | None, is_suppressed: bool) -> LeadOut:
    """Return a lead as it is answered."""
    metadata = MetadataOut.model_validate(lead)
    metadata.user_id, metadata.sms_opted_out = owner_id, is_suppressed
    contact = ContactOut(
        first_name=lead.first_name,
        last_name=lead.last_name,
        street_address=AddressOut.model_validate(lead),
        phone=PhoneOut.model_validate(lead),
        email=lead.email,
    )
    return LeadOut(
        metadata=metadata,
        contact=contact,
        customer=CustomerOut.model_validate(lead),
        id=lead.id,
        created_at=lead.received_at,
        modified_at=lead.modified_at,
    )


# --- between ------------------------------------------------------------------------------------

app = FastAPI(lifespan=lifespan)
InSession = Annotated[AsyncSession, Depends(get_session)]


@app.exception_handler(RequestValidationError)
async def refuse(_: Request, error: RequestValidationError) -> JSONResponse:
    """Answer `400` for a body that is no JSON, `422` for a lead that is not valid."""
    is_malformed = any(one["type"] == "json_invalid" for one in error.errors())
    faults = [
        {"field": ".".join(map(str, one["loc"])), "detail": one["msg"]} for one in error.errors()
    ]
    return JSONResponse({"faults": faults}, status_code=400 if is_malformed else 422)


async def log_in(
    session: InSession,
    x_leadping_source_id: Annotated[str, Header()] = "",
    x_leadping_source_key: Annotated[str, Header()] = "",
) -> Any:
    """Return the key and source that the headers open."""
    digest = sha256(x_leadping_source_key.encode()).hexdigest()
    found = await session.execute(
        select(SourceKey, Source)
        .join(Source, Source.id == SourceKey.source_id)
        .where(
            SourceKey.digest == digest,
            SourceKey.revoked_at.is_(None),
            or_(SourceKey.expires_at.is_(None), SourceKey.expires_at > datetime.now(UTC)),
        )
    )
    row = found.one_or_none()
    if row is None or str(row.Source.id) != x_leadping_source_id.lower():
        raise HTTPException(401, headers={"WWW-Authenticate": 'Bearer realm="leadping"'})
    if not row.Source.is_enabled:
        raise HTTPException(403)
    return row


def is_person(table: Any, phone: str, email_key: str) -> tuple[Any, Any]:
    """Return the conditions that a row names the phone, and the e-mail address, if any is given.

    "Not empty" in the words of the indexes, which hold for no other rows.
    """
    return (
        and_(table.phone == phone, table.phone != BLANK),
        and_(table.email_key == email_key, table.email_key != BLANK),
    )


async def find_suppressed(session: AsyncSession, source: Any, phone: str, email_key: str) -> bool:
    """Say whether the person may not be contacted."""
    stands = and_(
        or_(Suppression.business_id == source.business_id, Suppression.business_id.is_(None)),
        Suppression.released_at.is_(None),
    )
    found = [exists().where(one, stands) for one in is_person(Suppression, phone, email_key)]
    return bool(await session.scalar(select(or_(*found))))


async def is_duplicate(session: AsyncSession, source: Any, phone: str, email_key: str) -> bool:
    """Say whether the person is a lead of the source already."""
    is_known = and_(
        Lead.business_id == source.business_id,
        Lead.source_id == source.id,
        Lead.compliance_status == "Approved",
        Lead.is_test.is_(False),
        Lead.received_at >= datetime.now(UTC) - timedelta(days=30),
    )
    found = [exists().where(one, is_known) for one in is_person(Lead, phone, email_key)]
    return bool(await session.scalar(select(or_(*found))))


@app.post("/leads/intake", status_code=201, response_model=LeadOut)
async def take(
    sent: PostIn, request: Request, opened: Annotated[Any, Depends(log_in)], session: InSession
) -> LeadOut:
    """Store a post and its lead."""
    started = time.perf_counter()
    key, source = opened
    received_at = datetime.now(UTC)
    body = await request.body()
    address = request.client.host if request.client else None
    values = sent.model_dump()
    values["email"] = values["email"] or ""
    email_key = values["email"].lower()
    is_suppressed = await find_suppressed(session, source, sent.phone, email_key)
    findings = []
    if source.compliance_approved_at is None:
        findings.append("The source has not passed compliance review.")
    if is_suppressed:
        findings.append("This person may not be contacted.")
    if await is_duplicate(session, source, sent.phone, email_key):
        findings.append("This person is already known.")
    certificate = sent.trusted_form_url
    lead = Lead(
        **blank_lead
        | values
        | {
            "id": uuid7(),
            "business_id": source.business_id,
            "source_id": source.id,
            "received_at": received_at,
            "is_test": key.is_test,
            "compliance_status": "Blocked" if findings else "Approved",
            "compliance_blocked_reason": " ".join(findings),
            "desk_tab": "review" if findings else None,
            "findings": findings,
            "rules_version": "1",
            "judged_at": datetime.now(UTC),
            "approved_at": None if findings else received_at,
            "consent_expires_at": received_at + CERTIFICATE_LASTS if certificate else None,
            "certificate_id": certificate.rpartition("/")[2][:40],
            "sms_consent_status": "Unknown",
            "ip_address": address,
            "user_agent": request.headers.get("user-agent", "")[:512],
            "name_key": f"{sent.last_name} {sent.first_name}".lower(),
            "email_key": email_key,
            "posted_email_key": email_key,
            "posted_phone": sent.phone,
        }
    )
    post = Post(
        id=uuid7(),
        received_at=received_at,
        source_id=source.id,
        key_id=key.id,
        request_id=request.headers.get("x-request-id", "")[:64],
        method=request.method,
        path=request.url.path,
        address=address,
        headers={one: request.headers[one] for one in KEPT_HEADERS if one in request.headers},
        body=body,
        body_size=len(body),
        has_credential_blanked=False,
        status=201,
        outcome="blocked" if findings else "approved",
        notes={},
        rules_version="",
        took_us=int((time.perf_counter() - started) * 1e6),
        lead_id=lead.id,
    )
    session.add_all([lead, post])
    await session.commit()
    return answer_of(lead, source.owner_id, is_suppressed)


@app.get("/healthz", response_class=PlainTextResponse)
async def healthz() -> str:
    """Say that it is alive."""
    return "alive\n"
