"""R: takes posts by the product's checks and statements, with no framework on their way."""

from __future__ import annotations

import gc
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hmac import compare_digest
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote_plus
from uuid import UUID, uuid4

import django
import orjson
import psycopg
from django.apps import apps

# For the names of tables and columns and the texts of the statements; no post goes through it.
if not apps.ready:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leadping.settings")
    django.setup(set_prefix=False)

from django.conf import settings
from django.db import models

from intake import store
from intake.bodies import malformed, read_json
from intake.fields import FLAT, Plan, with_names
from intake.models import Post
from intake.problems import Problem, invalid_lead
from intake.reading import Reading, read
from intake.views import listed as listed_names
from leadping.middleware import plain_address, request_id_for
from leadping.settings import time_limits
from leads import normalize
from leads.compliance import judge
from leads.facts import LAST_US_ZONE, NEVER, Row, listed, lookups_of
from leads.findings import Facts, Verdict, joined
from leads.models import CERTIFICATE_LASTS, CONSENT_RULES, Lead
from leads.reviews import desk_tab_of, found_in
from leads.serializers import intake_answer
from sources import keys
from sources.ids import uuid7
from sources.locks import SHARED_AND_LOCK, as_array, caps_of, number, subjects
from sources.rules import DEFAULT_MODES, RULES_VERSION, Mode, Rule, public_code
from sources.statements import Result, Statement, Values, _send

PATH = "/leads/intake"
MAX_BODY_BYTES = 64 * 1024
KEPT_HEADERS = {
    "CONTENT_TYPE": "Content-Type",
    "CONTENT_LENGTH": "Content-Length",
    "HTTP_USER_AGENT": "User-Agent",
    "HTTP_ACCEPT": "Accept",
}
JSON_TYPE = re.compile(r"(?:application|text)/json|application/[\w.-]+\+json", re.ASCII)
CREDENTIAL_HEADERS = (
    "HTTP_AUTHORIZATION",
    "HTTP_X_LEADPING_SOURCE_ID",
    "HTTP_X_LEADPING_SOURCE_KEY",
)
HOSTS = frozenset(settings.ALLOWED_HOSTS)
IS_TOLD = logging.getLevelName(settings.LOGGING["level"]) <= logging.INFO
REMEMBERED_SECONDS, LOADED_AGAIN_SECONDS = 0.8, 5.0
MAX_TRIES = 3
GARBAGE_AT = 20_000
REASONS = {
    **{200: "OK", 201: "Created", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden"},
    **{404: "Not Found", 405: "Method Not Allowed", 411: "Length Required"},
    **{413: "Content Too Large", 415: "Unsupported Media Type", 422: "Unprocessable Content"},
    **{429: "Too Many Requests", 500: "Internal Server Error", 501: "Not Implemented"},
    503: "Service Unavailable",
}

Answer = tuple[int, dict[str, str], bytes]


def defaults_of(model: type[models.Model]) -> dict[str, Any]:
    """Return what a new row holds where nothing is said, in the order of its columns."""
    return {one.attname: one.get_default() for one in model._meta.concrete_fields}


LEAD, POST = defaults_of(Lead), defaults_of(Post)
COUNTING, LOOKING = store.using("postgresql")
GATHERING = store.gathering("postgresql", True)
(WRITING,) = store.writing("postgresql")
OPENING = Statement(
    """
    SELECT k.digest, k.id, k.is_test, k.expires_at, k.revoked_at, s.id, s.business_id, s.version,
        s.counters_version, s.owner_id, s.is_enabled, s.compliance_approved_at IS NOT NULL,
        s.allowed_states, s.allowed_products, s.allowed_verticals, s.is_trusted_form_required,
        s.is_sms_consent_covered, s.default_product, s.default_vertical,
        s.default_sender_number_id, s.duplicate_window_days, s.duplicate_scope,
        s.rate_per_minute, s.field_map, s.is_unknown_kept,
        s.daily_cap IS NOT NULL OR s.monthly_cap IS NOT NULL
            OR EXISTS (SELECT FROM sources_source_default_tags WHERE source_id = s.id)
    FROM sources_sourcekey AS k JOIN sources_source AS s ON s.id = k.source_id
    WHERE k.digest = %s"""
)
MODES = Statement("SELECT rule, mode FROM sources_sourcerule WHERE source_id = %s")


class Stale(Exception):
    """The source or key is not as it was remembered."""


class NotDoneHere(Exception):
    """The post needs what this program leaves out: caps, tags, or the answer to a repeat."""


# --- the database -------------------------------------------------------------------------------

_local = threading.local()


def session() -> psycopg.Connection[Any]:
    """Return this thread's connection."""
    raw: psycopg.Connection[Any] | None = getattr(_local, "raw", None)
    if raw is None or raw.closed:
        options = f"-c jit=off -c TimeZone=UTC {time_limits()}"
        raw = psycopg.connect(os.environ["DATABASE_URL"], options=options, autocommit=True)
        _local.raw = raw
    return raw


def send(
    calls: list[tuple[Statement, Values]], *, is_atomic: bool = False, is_end: bool = False
) -> list[Result]:
    """Run statements in one round trip, each for itself or all in a transaction."""
    raw = session()
    if raw.autocommit == is_atomic:
        raw.autocommit = not is_atomic
    return _send(raw, calls, is_end=is_end)


def undo() -> None:
    """Undo what the transaction of this thread did, if one is open."""
    if raw := getattr(_local, "raw", None):
        raw.rollback()


def hang_up() -> None:
    """Close this thread's connection, of which nobody knows what state it is in."""
    if raw := getattr(_local, "raw", None):
        raw.close()


# --- who posts ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Opened:
    """A key, and what its source says of posts; in the order of the statement, but for the end."""

    digest: str
    key_id: UUID
    is_test: bool
    expires_at: datetime | None
    revoked_at: datetime | None
    source_id: UUID
    business_id: UUID
    version: UUID
    counters_version: UUID
    owner_id: int | None
    is_enabled: bool
    is_approved: bool
    allowed_states: list[str]
    allowed_products: list[str]
    allowed_verticals: list[str]
    is_trusted_form_required: bool
    is_sms_consent_covered: bool
    default_product: str
    default_vertical: str
    default_sender_number_id: str
    duplicate_window_days: int
    duplicate_scope: str
    rate_per_minute: int
    field_map: dict[str, str]
    is_unknown_kept: bool
    is_not_done_here: bool
    modes: dict[Rule, Mode]
    plan: Plan
    states: frozenset[str]
    products: frozenset[str]
    verticals: frozenset[str]
    shared_locks: str


@dataclass(slots=True)
class Remembered:
    """What a key opens, when it was loaded and when it was last seen to hold."""

    opened: Opened
    loaded_at: float
    held_at: float


_remembered: dict[str, Remembered] = {}


def log_in(environ: dict[str, Any], *, is_afresh: bool = False) -> Opened:
    """Return what the headers open; raises Problem for none."""
    source_id = environ.get("HTTP_X_LEADPING_SOURCE_ID", "").strip(" \t")
    key = environ.get("HTTP_X_LEADPING_SOURCE_KEY", "").strip(" \t")
    if not (source_id.isascii() and keys.is_well_formed(key)):
        raise Problem("invalid-credentials")
    digest = keys.digest(key)
    at = time.monotonic()
    known = _remembered.get(digest)
    if (
        known is None
        or is_afresh
        or at - known.held_at > REMEMBERED_SECONDS
        or at - known.loaded_at > LOADED_AGAIN_SECONDS
    ):
        loaded = load(digest)
        if loaded is None:
            _remembered.pop(digest, None)
            raise Problem("invalid-credentials")
        known = _remembered[digest] = Remembered(loaded, at, at)
    opened = known.opened
    is_ended = opened.expires_at is not None and opened.expires_at <= datetime.now(UTC)
    is_right = compare_digest(opened.digest, digest)
    is_right = compare_digest(str(opened.source_id), source_id.lower()) and is_right
    if not is_right or is_ended or opened.revoked_at is not None:
        raise Problem("invalid-credentials")
    return opened


def load(digest: str) -> Opened | None:
    """Return what the key with this digest opens, from the database."""
    (found,) = send([(OPENING, [digest])])
    if not found.rows:
        return None
    row = found.rows[0]
    source_id, (states, products, verticals), field_map = row[5], row[12:15], row[23]
    (own,) = send([(MODES, [source_id])])
    return Opened(
        *row,
        DEFAULT_MODES | {Rule(rule): Mode(mode) for rule, mode in own.rows},
        with_names(FLAT, field_map),
        listed(normalize.state(one) for one in states),
        listed(products),
        listed(verticals),
        as_array([number(caps_of(source_id))]),
    )


def use_allowance(opened: Opened) -> dict[str, str]:
    """Use one of the source's posts of this minute, and return what the answer says of them."""
    subject, limit = f"source:{opened.source_id}", opened.rate_per_minute
    (counted,) = send([(COUNTING, [subject, limit])])
    used, ends_in_ms = limit, store.WINDOW_MS
    if counted.rows:
        used, ends_in_ms = counted.rows[0]
    else:
        (looked,) = send([(LOOKING, [subject])])
        ends_in_ms = looked.rows[0][0] if looked.rows else ends_in_ms
    seconds = min(max(-(-ends_in_ms // 1000), 1), store.WINDOW_MS // 1000)
    headers = {
        "RateLimit-Policy": f'"posts";q={limit};w={store.WINDOW_MS // 1000}',
        "RateLimit": f'"posts";r={max(limit - used, 0)};t={seconds}',
    }
    if not counted.rows:
        raise Problem("rate-limited", headers={"Retry-After": str(seconds), **headers})
    return headers


# --- the post -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Arrival:
    """A post as it came in."""

    started_ns: int
    received_at: datetime
    request_id: str
    id: UUID
    address: str
    headers: dict[str, str]
    body: bytes
    body_size: int
    has_credential_blanked: bool

    @property
    def took_us(self) -> int:
        """Return the microseconds since it came."""
        return (time.perf_counter_ns() - self.started_ns) // 1000


def to_millisecond(at: datetime) -> datetime:
    """Return a time cut to the millisecond."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def arrive(environ: dict[str, Any]) -> Arrival:
    """Return a post as it came in; raises Problem for one that is not read."""
    started_ns = time.perf_counter_ns()
    if environ.get("HTTP_HOST", "").rpartition(":")[0] not in HOSTS:
        raise Problem("not-found")
    if "HTTP_TRANSFER_ENCODING" in environ:
        raise Problem("length-required")
    length = environ.get("CONTENT_LENGTH") or ""
    size = int(length) if length.isascii() and length.isdigit() else 0
    if size > MAX_BODY_BYTES:
        raise Problem("body-too-large")
    body = environ["wsgi.input"].read(size) if size else b""
    if len(body) < size:
        raise malformed("The body broke off before its end.")
    body, was_blanked = keys.blank_bytes(body)
    if environ["REQUEST_METHOD"] != "POST":
        raise Problem("method-not-allowed", headers={"Allow": "POST"})
    if environ.get("HTTP_CONTENT_ENCODING", "").strip().lower() not in ("", "identity"):
        raise Problem("unsupported-media-type")
    kind, _, parameters = environ.get("CONTENT_TYPE", "").partition(";")
    if kind and not JSON_TYPE.fullmatch(kind.strip().lower()):
        raise Problem("unsupported-media-type")
    name, _, charset = parameters.partition("=")
    if name.strip().lower() == "charset" and charset.strip(' "').lower() not in ("utf-8", "utf8"):
        raise Problem("unsupported-media-type")
    return Arrival(
        started_ns=started_ns,
        received_at=to_millisecond(datetime.now(UTC)),
        request_id=request_id_for(environ.get("HTTP_X_REQUEST_ID", "")),
        id=uuid7(),
        address=plain_address(environ.get("REMOTE_ADDR", "")),
        headers={
            name: normalize.CONTROL.sub("", keys.blank(value)[0])[:512]
            for at, name in KEPT_HEADERS.items()
            if (value := environ.get(at))
        },
        body=body,
        body_size=size,
        has_credential_blanked=was_blanked or has_stray_credential(environ),
    )


def has_stray_credential(environ: dict[str, Any]) -> bool:
    """Say whether something like a key stands in the URL or in a header where none belongs."""
    texts = [unquote_plus(environ.get("QUERY_STRING", ""))]
    texts += [
        value
        for name, value in environ.items()
        if name.startswith("HTTP_") and name not in CREDENTIAL_HEADERS
    ]
    return any(keys.blank(text)[1] for text in texts)


def understand(opened: Opened, arrival: Arrival) -> tuple[Reading, dict[str, Any]]:
    """Return how the body is read, and the lead's row, not judged yet; raises Problem."""
    if not opened.is_enabled:
        raise Problem("source-disabled")
    reading = read(read_json(arrival.body), opened.plan)
    if reading.faults:
        raise invalid_lead(reading.faults)
    if opened.is_unknown_kept:
        reading.keep_unknown()
    values = reading.values
    if opened.is_not_done_here or "tag_ids" in values or "tag_names" in values:
        raise NotDoneHere
    phone, email = values.get("phone", ""), values.get("email", "")
    email_key = normalize.email_key(email)
    lead = {
        **LEAD,
        **values,
        "id": uuid7(),
        "business_id": opened.business_id,
        "source_id": opened.source_id,
        "received_at": arrival.received_at,
        "is_test": opened.is_test,
        "product": values.get("product") or opened.default_product,
        "vertical": values.get("vertical") or opened.default_vertical,
        "certificate_id": normalize.certificate_id(values.get("trusted_form_url", "")),
        "ip_address": arrival.address or None,
        "user_agent": arrival.headers.get("User-Agent", ""),
        "assigned_phone_number_id": opened.default_sender_number_id,
        "name_key": normalize.name_key(values.get("last_name", ""), values.get("first_name", "")),
        "email_key": email_key,
        "posted_phone": phone,
        "posted_email_key": email_key,
    }
    return reading, lead


def look_up(opened: Opened, lead: dict[str, Any]) -> Facts:
    """Lock the person and return what the database knows, in one round trip.

    Raises Stale, and NotDoneHere for a repeat.
    """
    phone, email, certificate = lead["phone"], lead["email_key"], lead["certificate_id"]
    is_any_source = opened.duplicate_scope == "business"
    wanted = as_array(sorted({number(one) for one in subjects(phone, email, certificate)}))
    values = {
        "business": opened.business_id,
        "source": opened.source_id,
        "lead": lead["id"],
        "phone": phone,
        "email": email,
        "certificate": certificate,
        "judged_at": NEVER,
        "is_any_source": is_any_source,
        "counters_version": opened.counters_version,
        "day": "",
        "month": "",
        "key": opened.key_id,
        "idempotency_key": "",
        "external_id": lead["external_id"],
        "is_test": opened.is_test,
    }
    calls: list[tuple[Statement, Values]] = [
        (SHARED_AND_LOCK, [opened.shared_locks, wanted]),
        (GATHERING, values),
    ]
    rows = [Row(*one) for one in send(calls, is_atomic=True)[-1].rows]
    named = {one.what: one for one in rows}
    lead["judged_at"] = datetime.now(UTC)
    key = named.get("key")
    if key is None or (key.id, key.at, key.till) != (
        opened.version,
        opened.expires_at,
        opened.revoked_at,
    ):
        raise Stale
    if "repeated_id" in named:
        raise NotDoneHere
    found = lookups_of(rows)
    return Facts(
        arrived_on=lead["received_at"].astimezone(LAST_US_ZONE).date(),
        judged_at=lead["received_at"],
        source=str(opened.source_id),
        is_source_approved=opened.is_approved,
        allowed_states=opened.states,
        allowed_products=opened.products,
        allowed_verticals=opened.verticals,
        is_trusted_form_required=opened.is_trusted_form_required,
        duplicate_window_days=opened.duplicate_window_days,
        is_duplicate_in_business=is_any_source,
        state=normalize.without_format_characters(lead["state"]),
        postal_code=lead["postal_code"],
        country=lead["country"],
        product=normalize.without_format_characters(lead["product"]),
        vertical=normalize.without_format_characters(lead["vertical"]),
        certificate_url=lead["trusted_form_url"],
        certificate_id=certificate,
        has_phone=bool(phone),
        can_phone_exist=not phone or normalize.can_phone_exist(phone),
        birth_date=lead["birth_date"],
        known=found.known,
        entries=found.entries,
        editions=found.editions,
        reuses=found.reuses,
        caps=(),
    )


def take(lead: dict[str, Any], verdict: Verdict, opened: Opened) -> None:
    """Set in a lead's row what judging it came to."""
    findings = verdict.as_rows()
    is_held = bool(verdict.holding)
    lead["findings"] = findings
    lead["found"] = found_in(findings)
    lead["rules_version"] = f"{RULES_VERSION}/{opened.version}"
    lead["compliance_blocked_reason"] = verdict.reason
    lead["compliance_status"] = "Blocked" if is_held else "Approved"
    lead["approved_at"] = None if is_held else lead["received_at"]
    lead["desk_tab"] = desk_tab_of(findings) if is_held and not lead["is_test"] else None
    lead["sms_consent_status"] = "Unknown"
    if lead["certificate_id"]:
        lead["consent_expires_at"] = lead["received_at"] + CERTIFICATE_LASTS
        doubted = {one.rule for one in verdict.findings}
        does_stand = Rule.CHECK_UNAVAILABLE not in doubted and doubted.isdisjoint(CONSENT_RULES)
        if opened.is_sms_consent_covered and does_stand and lead["phone"]:
            lead["sms_consent_status"] = "OptedIn"


def store_it(opened: Opened, arrival: Arrival) -> Answer:
    """Store the post and its lead, and return the answer; raises Problem or Stale."""
    since = time.monotonic()
    reading, lead = understand(opened, arrival)
    for _ in range(MAX_TRIES):
        facts = look_up(opened, lead)
        verdict = judge(facts, opened.modes)
        if verdict.rejecting:
            raise Problem(public_code(verdict.rejecting[0].rule), joined(verdict.findings))
        take(lead, verdict, opened)
        outcome = lead["compliance_status"].lower()
        told = {"ignored": reading.ignored, "truncated": reading.truncated}
        post = {
            **POST,
            "id": arrival.id,
            "received_at": arrival.received_at,
            "source_id": opened.source_id,
            "key_id": opened.key_id,
            "request_id": arrival.request_id,
            "method": "POST",
            "path": PATH,
            "address": arrival.address or None,
            "headers": arrival.headers,
            "body": arrival.body,
            "body_size": arrival.body_size,
            "has_credential_blanked": arrival.has_credential_blanked,
            "status": 201,
            "outcome": outcome,
            "notes": {what: names for what, names in told.items() if names},
            "took_us": arrival.took_us,
            "lead_id": lead["id"],
        }
        row = [*lead.values(), *post.values()]
        (written,) = send([(WRITING, row)], is_atomic=True, is_end=True)
        if written.count:
            break
    else:
        raise Problem("unavailable")
    known = _remembered.get(opened.digest)
    if known is not None and known.opened is opened:
        known.held_at = max(known.held_at, since)
    codes = [one["code"] for one in lead["findings"]]
    tell(arrival, "post.stored", 201, outcome, opened, findings=codes, lead_id=str(lead["id"]))
    headers = {
        "Location": f"/leads/{lead['id']}",
        "Leadping-Post-Id": str(arrival.id),
        "Leadping-Findings": ", ".join(dict.fromkeys(map(public_code, codes))),
        "Leadping-Ignored-Fields": listed_names(reading.ignored),
        "Leadping-Truncated": listed_names(reading.truncated),
        "X-Frame-Options": "DENY",
        "Content-Type": "application/json",
    }
    # It asks them for nothing but values.
    lead_said: Any = SimpleNamespace(**lead)
    source_said: Any = opened
    answer = intake_answer(lead_said, source_said, opted_out_at=facts.opted_out_at)
    return 201, headers, orjson.dumps(answer)


def tell(
    arrival: Arrival | None,
    event: str,
    status: int,
    outcome: str,
    opened: Opened | None = None,
    **more: Any,
) -> None:
    """Write the line of the log that tells what became of the post."""
    if not IS_TOLD:
        return
    line = {
        "post_id": str(arrival.id) if arrival else None,
        "status": status,
        "outcome": outcome,
        "source_id": str(opened.source_id) if opened else None,
        "key_id": str(opened.key_id) if opened else None,
        "body_size": arrival.body_size if arrival else 0,
        "took_us": arrival.took_us if arrival else 0,
        **more,
        "event": event,
        "request_id": arrival.request_id if arrival else None,
        "level": "info",
        "timestamp": datetime.now(UTC).isoformat(),
    }
    sys.stderr.write(orjson.dumps(line).decode() + "\n")


def answer_post(environ: dict[str, Any]) -> Answer:
    """Return the answer to a post, whatever becomes of it."""
    arrival, opened, headers = None, None, {}
    try:
        arrival = arrive(environ)
        opened = log_in(environ)
        headers = use_allowance(opened)
        for _ in range(MAX_TRIES):
            try:
                status, more, body = store_it(opened, arrival)
                headers |= {name: value for name, value in more.items() if value}
                break
            except Stale:
                undo()
                opened = log_in(environ, is_afresh=True)
        else:
            raise Problem("unavailable")
    except (Problem, NotDoneHere, psycopg.Error) as error:
        problem = error if isinstance(error, Problem) else Problem("unavailable")
        # What the product answers 400 for a lead that is not valid, all three of these answer 422.
        status = 422 if problem.type.code == "invalid-lead" else problem.type.status
        status = 501 if isinstance(error, NotDoneHere) else status
        if isinstance(error, psycopg.Error):
            hang_up()
        else:
            undo()
        tell(arrival, "post.refused", status, problem.type.code, opened)
        headers |= {**problem.headers, "Content-Type": "application/problem+json"}
        said = problem.as_json(arrival.request_id if arrival else uuid4().hex, PATH)
        body = orjson.dumps(said | {"status": status})
    if arrival is not None:
        headers["X-Request-Id"] = arrival.request_id
    headers["Cache-Control"] = "no-store"
    return status, headers, body


def application(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]
) -> Iterable[bytes]:
    """Answer a request, as WSGI has it."""
    path = environ["PATH_INFO"]
    if path == PATH:
        status, headers, body = answer_post(environ)
    elif path == "/healthz":
        status, headers, body = 200, {"Content-Type": "text/plain"}, b"alive\n"
    else:
        status, headers, body = 404, {"Content-Type": "text/plain"}, b"nothing here\n"
    headers["Content-Length"] = str(len(body))
    start_response(f"{status} {REASONS.get(status, 'Other')}", list(headers.items()))
    return [body]


# As the product does at its start.
normalize.can_phone_exist(normalize.phone("+15125550137"))
normalize.email("ada@example.com")
gc.collect()
gc.freeze()
gc.set_threshold(GARBAGE_AT)
