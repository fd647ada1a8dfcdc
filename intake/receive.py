"""The one way a post becomes a lead.

`receive` is one transaction that reads as steps: lock, gather, repeat?, decide, write. The locks on
the person order all that depends on what else is known of them; unique constraints keep a lead
from being stored twice.
"""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.db import Error as DatabaseProblem
from django.db import transaction
from django.utils import timezone

from intake import store
from intake.authentication import Credential
from intake.bodies import read_form, read_json
from intake.fields import MetadataField, Plan, TagsField, names_of
from intake.models import Post
from intake.problems import Fault, Problem, invalid_lead
from intake.reading import Reading, read
from intake.trouble import despite_conflicts, is_unavailable
from leads import normalize
from leads.caps import Left, approved_in, periods_of
from leads.facts import Lookups, decide, entries_of, facts_of
from leads.findings import Facts, Finding, Verdict, joined, opted_out_at
from leads.models import Lead, Suppression, version_of
from sources.ids import uuid7
from sources.keys import BLANKED, blank
from sources.models import Source, Tag
from sources.names import fold
from sources.rows import new
from sources.rules import STANDING, Rule, public_code

log = structlog.get_logger()

MAX_ROUNDS = 3
KEY_MAX_LENGTH = 255
VISIBLE_ASCII = re.compile(r"[!-~]+")
# A string of a structured HTTP field: in quotes, with those and backslashes escaped.
QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
CREDENTIAL_NAMES = ("sourceid", "sourcekey")


@dataclass(slots=True)
class Arrival:
    """A post as it came in: who, when, how and which bytes, with no credential left in them.

    `body` is the query where the post came as one.
    """

    received_at: datetime
    request_id: str
    method: str
    path: str
    address: str
    headers: dict[str, str]
    body: bytes = b""
    body_size: int = 0
    has_credential_blanked: bool = False
    idempotency_key: str | None = None
    is_form: bool = False
    is_structured: bool = False
    is_kept: bool = False  # read again from what was kept, with keys blanked already
    id: UUID = field(default_factory=uuid7)


@dataclass(frozen=True, slots=True)
class Received:
    """A stored lead: new, or the first one again.

    `opted_out_at`: since when its person has opted out of text messages; not `is_person_known`:
    nobody can say just now.
    """

    lead: Lead
    is_repeat: bool = False
    opted_out_at: datetime | None = None
    is_person_known: bool = True
    caps: tuple[Left, ...] = ()


class Rejected(Problem):
    """A rule refuses the lead; what the vendor is not told is kept with the post, for staff."""

    def __init__(
        self,
        code: str,
        detail: str,
        faults: Sequence[Fault],
        findings: list[dict[str, Any]],
        rules_version: str,
    ) -> None:
        super().__init__(code, detail, faults)
        self.findings = findings
        self.rules_version = rules_version


class Stale(Exception):
    """The source or key is not as it was remembered: look again, and decide again."""


class Taken(Exception):
    """Another post took one of the lead's ids since we looked: undo, and look again."""


class LookupFailed(Exception):
    """The person could not be looked up, and the database is not away: hold the lead."""


def take(credential: Credential, arrival: Arrival, started_ns: int) -> tuple[Received, Reading]:
    """Read the body of a post and receive what it says; also return how it was read.

    `started_ns`: `time.perf_counter_ns()` when the post came. Raises as `receive` does, and
    Problem for a source that is switched off and for a body that does not validate.
    """
    if not credential.source.is_enabled:
        raise Problem("source-disabled")
    reading, lead, tags = understand(credential, arrival)
    received = receive(credential, arrival, reading, lead, tags, us_since(started_ns))
    return received, reading


def understand(credential: Credential, arrival: Arrival) -> tuple[Reading, Lead, list[Tag]]:
    """Return how the body of a post is read, and the lead, not judged yet, and tags that it says.

    Raises Problem for one that does not validate.
    """
    source = credential.source
    key = idempotency_key(arrival)
    plan = credential.structure if arrival.is_structured else credential.plan
    members = members_of(arrival, credential.plan)
    reading = read(members, plan, is_structured=arrival.is_structured)
    if reading.faults:
        raise invalid_lead(reading.faults)
    fingerprint = reading.fingerprint() if key else ""
    if source.is_unknown_kept:
        reading.keep_unknown()
    lead, tags = new_lead(source, arrival, reading, credential.key.is_test)
    lead.idempotency_key, lead.fingerprint = key, fingerprint
    return reading, lead, tags


def idempotency_key(arrival: Arrival) -> str:
    """Return the post's `Idempotency-Key`, out of its quotes, "" if it has none.

    Raises Problem for one that is not 1 to 255 visible ASCII characters. Source: contract §7.
    """
    if arrival.idempotency_key is None:
        return ""
    key = sent = arrival.idempotency_key.strip(" \t")
    if sent.startswith('"'):
        match = QUOTED.fullmatch(sent)
        key = re.sub(r'\\(["\\])', r"\1", match[1]) if match else ""
    checked = BLANKED.sub("k", key) if arrival.is_kept else key
    if not VISIBLE_ASCII.fullmatch(checked) or len(key) > KEY_MAX_LENGTH:
        sentence = f"This must be 1 to {KEY_MAX_LENGTH} visible ASCII characters, quoted or bare."
        raise invalid_lead([Fault(("Idempotency-Key",), "invalid-idempotency-key", sentence)])
    return blank(key)[0]


def members_of(arrival: Arrival, plan: Plan) -> dict[str, object]:
    """Return what a post's body or query says, by the names that were sent.

    `plan`: of a flat post, which says what in a form is a list or an object.
    Raises Problem `malformed-body`.
    """
    if not arrival.is_form:
        return read_json(arrival.body)
    members = read_form(
        arrival.body,
        lists=names_of(TagsField, plan),
        objects=names_of(MetadataField, plan),
    )
    if arrival.method == "GET":
        return {name: one for name, one in members.items() if fold(name) not in CREDENTIAL_NAMES}
    return members


def us_since(started_ns: int) -> int:
    """Return the whole microseconds since `started_ns` of `time.perf_counter_ns()`."""
    return (time.perf_counter_ns() - started_ns) // 1000


def receive(
    credential: Credential,
    arrival: Arrival,
    reading: Reading,
    lead: Lead,
    tags: list[Tag],
    took_us: int,
) -> Received:
    """Store a new lead with its tags, findings and post, or find that it is a repeat.

    Raises Problem for a conflict or a rule that rejects, Stale if `credential` is outdated; then
    nothing is stored. `took_us`: microseconds since the post came, for its row.
    """

    def attempt() -> Received:
        with transaction.atomic():
            at = lead.received_at
            state = look_up(credential, lead, at, is_person_looked_up=is_person_looked_up)
            if state is None or is_stale(credential, state):
                raise Stale
            if state.lead_of_key or state.lead_of_external_id:
                return repeat(credential, arrival, reading, lead, state, took_us)
            return add(credential, arrival, reading, lead, tags, state, took_us)

    is_person_looked_up = True
    for _ in range(MAX_ROUNDS):
        try:
            return despite_conflicts(attempt)
        except Taken:
            continue
        except LookupFailed:
            log.error("compliance.lookup_failed", exc_info=True)
            is_person_looked_up = False
    raise Problem("unavailable")


def look_up(
    credential: Credential, lead: Lead, at: datetime, *, is_person_looked_up: bool = True
) -> store.State | None:
    """Lock the person and return what the database knows; None if the key is no longer there.

    `at`: its arrival, or its replay, by whose day the caps are. Raises LookupFailed where an error
    is not of a database that is away. When the person is not looked up, no lock is needed: no rule
    that needs it can run, so the lead is held.
    """
    periods = periods_of(credential.source, at)
    look = partial(store.gather, credential.key.id, lead, credential.source, periods)
    try:
        state = look() if is_person_looked_up else look(is_person_looked_up=False)
    except DatabaseProblem as error:
        if is_unavailable(error) or not is_person_looked_up:
            raise
        raise LookupFailed from error
    lead.judged_at = timezone.now()  # nobody else judges this person until we are through
    return state


def repeat(
    credential: Credential,
    arrival: Arrival,
    reading: Reading,
    lead: Lead,
    state: store.State,
    took_us: int,
) -> Received:
    """Return the first lead again for a post that would be `lead`, and keep the post.

    Raises Problem if it may not be answered so, Taken if the first lead is gone since we looked.
    """
    source = credential.source
    first_id = state.lead_of_key or state.lead_of_external_id
    assert first_id
    first = Lead.objects.filter(id=first_id).first()
    if first is None:
        raise Taken
    check_repeat(first, lead, is_by_key=state.lead_of_key is not None)
    keep_repeat(credential, arrival, reading, first, took_us)
    return Received(
        first,
        is_repeat=True,
        opted_out_at=opted_out_of_first(first, lead, state.lookups),
        is_person_known=state.lookups.entries is not None,
        caps=caps_left(source, lead.received_at, used_so_far(source, lead, state.lookups)),
    )


def add(
    credential: Credential,
    arrival: Arrival,
    reading: Reading,
    lead: Lead,
    tags: list[Tag],
    state: store.State,
    took_us: int,
) -> Received:
    """Judge a new lead and write it with its post.

    Raises Problem if a rule rejects it, Taken if another post took one of its ids since we looked.
    """
    source = credential.source
    facts = judge(source, lead, reading, state, lead.received_at)
    post = new_post(credential, arrival, 201, lead.compliance_status.lower(), took_us)
    post.lead_id, post.notes = lead.id, notes(reading)
    is_last = not tags and not source.has_cap
    if not store.write(lead, post, is_last=is_last):
        raise Taken
    if tags:
        store.write_tags(lead, tags)
    return Received(
        lead,
        opted_out_at=facts.opted_out_at,
        is_person_known=facts.entries is not None,
        caps=caps_left(source, lead.received_at, {c.period: c.used for c in facts.caps or ()}),
    )


def judge(source: Source, lead: Lead, reading: Reading, state: store.State, at: datetime) -> Facts:
    """Judge a new lead as of `at`, set what that comes to, and return the facts it rests on.

    Raises Problem if a rule rejects it.
    """
    periods = periods_of(source, at)
    facts = facts_of(lead, source, at, state.lookups, periods)
    verdict, facts = decide(facts, source, periods, is_counted=not lead.is_test)
    tell_what_did_not_run(verdict)
    if verdict.rejecting:
        raise refusal(verdict, reading, source)
    lead.take(verdict, source, at)
    return facts


def caps_left(source: Source, at: datetime, used: Mapping[str, int]) -> tuple[Left, ...]:
    """Return what is left at `at` of each cap that blocks or refuses, for the vendor to see."""
    if source.modes[Rule.OVER_CAP] not in STANDING:
        return ()
    periods = [one for one in periods_of(source, at) if one.name in used]
    return tuple(Left(one, max(one.cap - used[one.name], 0)) for one in periods)


def used_so_far(source: Source, lead: Lead, found: Lookups) -> dict[str, int]:
    """Return how much of each cap is used, also where no post has begun the counter yet."""
    if found.used is None:
        return {}
    return {
        one.name: found.used[one.name]
        if one.name in found.used
        else approved_in(source, one.starts_at, one.ends_at)
        for one in periods_of(source, lead.received_at)
    }


def tell_what_did_not_run(verdict: Verdict) -> None:
    """Write into the log which rules could not be run, for somebody has to mend that."""
    for one in verdict.findings:
        if one.rule == Rule.CHECK_UNAVAILABLE:
            log.error("compliance.check_unavailable", rules=one.evidence["rules"])


def is_stale(credential: Credential, state: store.State) -> bool:
    """Say whether the source or the key is no longer as it was remembered."""
    key = credential.key
    return (state.source_version, state.key_expires_at, state.key_revoked_at) != (
        credential.source.version,
        key.expires_at,
        key.revoked_at,
    )


def new_lead(
    source: Source, arrival: Arrival, reading: Reading, is_test: bool
) -> tuple[Lead, list[Tag]]:
    """Return the lead that a post says, not judged and not saved, with its tags.

    Tags that nobody knows are added to what the reading ignored.
    """
    values = dict(reading.values)
    tag_ids, tag_names = values.pop("tag_ids", []), values.pop("tag_names", [])
    tags, unknown = known_tags(source, tag_ids, tag_names)
    lead = new(
        Lead,
        {
            **values,
            "business_id": source.business_id,
            "source_id": source.id,
            "received_at": arrival.received_at,
            "is_test": is_test,
            "ip_address": arrival.address or None,
            "user_agent": arrival.headers.get("User-Agent", ""),
            "assigned_phone_number_id": source.default_sender_number_id,
        },
    )
    lead.product = lead.product or source.default_product
    lead.vertical = lead.vertical or source.default_vertical
    lead.name_key = normalize.name_key(lead.last_name, lead.first_name)
    lead.email_key = normalize.email_key(lead.email)
    lead.posted_phone, lead.posted_email_key = lead.phone, lead.email_key
    lead.certificate_id = normalize.certificate_id(lead.trusted_form_url)
    reading.ignored += unknown
    return lead, tags


def known_tags(source: Source, ids: list[str], tag_names: list[str]) -> tuple[list[Tag], list[str]]:
    """Return the business's tags with these ids and names, and the names of those it has not.

    Without any, the source's default tags. Intake never makes a tag, and knows no archived one.
    """
    if not ids and not tag_names:
        return source.tags_by_default, []
    by_id: dict[str, Tag] = {}
    by_name: dict[str, Tag] = {}
    for tag in Tag.objects.of(source.business_id).in_use():
        by_id[str(tag.id)] = by_name[tag.key] = tag
    found = {}
    unknown = []
    for kind, known, wanted in (("tagIds", by_id, ids), ("tagNames", by_name, tag_names)):
        for one in wanted:
            if match := known.get(one.casefold()):
                found[match.id] = match
            else:
                unknown.append(f"{kind}.{one}")
    return list(found.values()), unknown


def check_repeat(first: Lead, lead: Lead, *, is_by_key: bool) -> None:
    """Raise Problem unless a post that would be `lead` may be answered with the first lead.

    `lead-erased` when that was erased; found by its key, `idempotency-key-reused` when something
    else was posted with it; by its external id, `external-id-conflict` when it is another
    person's. Source: contract §7.
    """
    if first.erased_at:
        raise Problem("lead-erased")
    if is_by_key:
        if first.fingerprint != lead.fingerprint:
            raise Problem("idempotency-key-reused")
    elif not first.is_of(lead.phone, lead.email_key):
        raise Problem(
            "external-id-conflict",
            f"The lead {first.id} of another person already has this externalId.",
            headers={"Location": f"/leads/{first.id}"},
        )


def keep_repeat(
    credential: Credential, arrival: Arrival, reading: Reading, first: Lead, took_us: int
) -> None:
    """Keep the post that repeats a lead."""
    post = new_post(credential, arrival, 201, "repeated", took_us)
    post.lead, post.notes = first, notes(reading)
    post.save(force_insert=True)


def opted_out_of_first(first: Lead, lead: Lead, found: Lookups) -> datetime | None:
    """Return since when the person of a first lead, as it stands now, has opted out of texts.

    None if they have not, or nobody can say. What was looked up is of the repeat, which may name
    more or less of a person.
    """
    if found.entries is None:
        return None
    if (first.phone, first.email_key) == (lead.phone, lead.email_key):
        return opted_out_at(found.entries)
    return opted_out_since(first)


def opted_out_since(lead: Lead) -> datetime | None:
    """Return since when the person of a lead has opted out of text messages, None if they have not.

    By a look-up of its own.
    """
    rows = Suppression.objects.active().in_force_for(lead.business_id)
    return opted_out_at(entries_of(rows.matching(lead.phone, lead.email_key), lead.phone))


def refusal(verdict: Verdict, reading: Reading, source: Source) -> Rejected:
    """Return the problem of a lead that some rule rejects: the first such rule names it."""

    def fault(one: Finding) -> Fault:
        path = reading.path_of(one.field) if one.field else ("source",)
        return Fault(path, public_code(one.rule), one.sentence)

    first = verdict.rejecting[0]
    # Each once: two rules that the answer must not tell apart make the same fault.
    faults = list(dict.fromkeys(map(fault, verdict.findings)))
    return Rejected(
        fault(first).code, joined(verdict.findings), faults, verdict.as_rows(), version_of(source)
    )


def notes(reading: Reading) -> dict[str, list[str]]:
    """Return the names that the answer's headers report, as they are kept with the post."""
    told = {"ignored": reading.ignored, "truncated": reading.truncated}
    return {what: names for what, names in told.items() if names}


def new_post(
    credential: Credential, arrival: Arrival, status: int, outcome: str, took_us: int
) -> Post:
    """Return the row that keeps a post, not saved."""
    return new(
        Post,
        {
            "id": arrival.id,
            "received_at": arrival.received_at,
            "source_id": credential.source.id,
            "key_id": credential.key.id,
            "request_id": arrival.request_id,
            "method": arrival.method,
            "path": arrival.path,
            "address": arrival.address or None,
            "headers": arrival.headers,
            "body": arrival.body,
            "body_size": arrival.body_size,
            "has_credential_blanked": arrival.has_credential_blanked,
            "status": status,
            "outcome": outcome,
            "took_us": took_us,
        },
    )


def keep_refused(credential: Credential, arrival: Arrival, problem: Problem, took_us: int) -> None:
    """Keep a post that was refused, with the answer that the vendor gets."""
    post = new_post(credential, arrival, problem.type.status, problem.type.code, took_us)
    post.answer = problem.as_json(arrival.request_id, arrival.path)
    if isinstance(problem, Rejected):
        post.findings, post.rules_version = problem.findings, problem.rules_version
    post.save(force_insert=True)
