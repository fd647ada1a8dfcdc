"""Suppressions in the read API: a person suppressed, released and checked, and what is on record.

By the same path as in the console: rules, locks, history and look-backs are those of
`leads/lookback.py`, `leads/suppressions.py` and `leads/standing.py`. Source: contract §6, §10; the
operations `Suppressions_…` of the public API's description.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from django.db import Error as DatabaseProblem
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.utils import timezone

from intake.problems import Problem
from intake.trouble import despite_conflicts, is_time_up
from leadping.api.calls import Call, Endpoint, not_found
from leadping.api.leads import a_phone, an_email, counted
from leadping.api.lists import (
    ListField,
    NotLike,
    Options,
    a_moment,
    a_text,
    an_id,
    personal,
    read_options,
)
from leadping.api.members import Members
from leads import lookback, masks, normalize, standing
from leads.compliance import MAY_NOT_BE_CONTACTED, RULES
from leads.models import Suppression
from leads.serializers import time_text
from leads.suppressions import release_person
from sources.models import Business
from sources.names import fold
from sources.rules import Rule
from sources.sql import beyond
from sources.tokens import Scope

T = TypeVar("T")

Channel, Kind = Suppression.Channel, Suppression.Kind
CONTACT_MAX_LENGTH = 400
WORD_MAX_LENGTH = 64
TEXT_MAX_LENGTH = 1000  # of reasons, and of what proves a consent
ACTIVE, RELEASED, NONE = "active", "released", "none"

BUSY = (
    "Something else is being done to this person just now. Send it again after the seconds in "
    "Retry-After; what comes twice is done once."
)

# Whatever the case, blanks and hyphens.
CHANNEL_WORDS = {
    **{one.value: one for one in Channel},
    **dict.fromkeys(("text", "texts", "textmessage", "textmessages", "mms"), Channel.SMS),
    **dict.fromkeys(("phone", "call", "calls", "phonecall", "phonecalls"), Channel.VOICE),
    **dict.fromkeys(("mail", "emails"), Channel.EMAIL),
    **dict.fromkeys(("any", "allchannels", "every"), Channel.ALL),
}
KIND_WORDS = {one.value.replace("-", ""): one for one in Kind if one != Kind.DNC_REGISTRY}
NOT_A_CHANNEL = f"This must be one of: {', '.join(Channel.values)}."
NOT_A_KIND = (
    f"This must be one of: {', '.join(KIND_WORDS.values())}. Registries are loaded by staff."
)


# --- whom a call is about -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a body names, and by which channel: normalised, and the e-mail as it was sent too."""

    phone: str
    email: str
    channel: Suppression.Channel

    @property
    def email_key(self) -> str:
        """Return what the e-mail is matched by."""
        return normalize.email_key(self.email)


def read_person(call: Call, body: Members) -> Person:
    """Return whom a body names; faults are noted. `recipientIdentifier` is none of ours."""
    check_business(call, body)
    before = len(body.faults)
    phone = contact(body, "phoneNumber", normalize.phone)
    email = contact(body, "email", normalize.email)
    channel = word(body, "channel", CHANNEL_WORDS, NOT_A_CHANNEL) or Channel.ALL
    if len(body.faults) == before:
        if not phone and not email:
            sentence = "Give a phone number or an e-mail address."
            body.fault("phoneNumber", "missing-contact", sentence)
        elif not phone and channel in (Channel.SMS, Channel.VOICE):
            body.fault("phoneNumber", "missing", "This channel needs a phone number.")
        elif not email and channel == Channel.EMAIL:
            body.fault("email", "missing", "This channel needs an e-mail address.")
    return Person(phone, email, channel)


def check_business(call: Call, body: Members) -> None:
    """Note a fault if a body names another business than the token's, whether there is one or not.

    The official clients always name one; who leaves it out means the token's.
    """
    for name in ("organizationId", "businessId"):
        sent = body.text(name, WORD_MAX_LENGTH)
        if sent is not None and an_id(sent) != call.business.id:
            body.fault(name, "other-business", "This is not the business of the token.")


def contact(body: Members, name: str, read: Callable[[str], str]) -> str:
    """Return a phone or e-mail in the spelling it is kept in, "" if there is none or it is none."""
    sent = body.text(name, CONTACT_MAX_LENGTH)
    try:
        return read(sent) if sent else ""
    except normalize.Unacceptable as error:
        body.fault(name, error.code, error.sentence)
        return ""


def word(body: Members, name: str, words: dict[str, T], sentence: str) -> T | None:
    """Return which of the words a member is; None if it is absent or at fault."""
    sent = body.text(name, WORD_MAX_LENGTH)
    found = words.get(letters(sent or ""))
    if sent is not None and found is None:
        body.fault(name, "invalid-choice", sentence)
    return found


def letters(text: str) -> str:
    """Return a word as words are compared."""
    return re.sub(r"[\W_]", "", text).lower()


# --- one at a time --------------------------------------------------------------------------------


class SuppressionsView(Endpoint):
    """`POST /suppressions`: from now on, no lead of this person is approved, nor stays so.

    What stands already is answered as it is. `kind` says why, `reason` in whose words.
    """

    scopes: ClassVar = {"POST": Scope.SUPPRESSIONS}

    def post(self, call: Call) -> HttpResponse:
        body = call.body()
        person = read_person(call, body)
        kind = word(body, "kind", KIND_WORDS, NOT_A_KIND) or Kind.OPT_OUT
        reason = body.text("reason", TEXT_MAX_LENGTH) or ""
        body.check()
        call.ignored += body.ignored()
        done = carried_out(
            partial(
                lookback.suppress,
                business=call.business,
                phone=person.phone,
                email=person.email,
                kind=kind,
                channel=person.channel,
                reason=reason,
                provenance=f"api {call.token.preview}",
                by=call.actor.by,
                token=call.token,
            )
        )
        answer = shown(call, done.entry, "", is_sent=True)
        return call.answer(answer, 201, Location=f"/suppressions/{done.entry.id}")


class ReleaseView(Endpoint):
    """`POST /suppressions/release`: what the business has against this person and channel ends.

    Only entries that name exactly this person and channel; of the `kind` that is given, or of all.
    An opt-out or revocation ends only by the person's new consent. `evidence` says what proves it;
    the official clients know no such member, so without one the `reason`, which everybody must
    give, is kept as the evidence as well. Leads that were blocked stay blocked, for staff to look
    at. Answers the newest entry that ended, or one without id whose status is "none".
    """

    scopes: ClassVar = {"POST": Scope.SUPPRESSIONS}

    def post(self, call: Call) -> HttpResponse:
        body = call.body()
        person = read_person(call, body)
        kind = word(body, "kind", KIND_WORDS, NOT_A_KIND)
        reason = body.text("reason", TEXT_MAX_LENGTH) or ""
        evidence = body.text("evidence", TEXT_MAX_LENGTH) or ""
        if body.raw("reason") is None:
            body.fault("reason", "missing", "Say why the person may be contacted again.")
        body.check()
        call.ignored += body.ignored()
        ended = carried_out(
            partial(
                release_person,
                call.business,
                person.phone,
                person.email_key,
                person.channel,
                actor=call.actor,
                reason=reason,
                evidence=evidence,
                kind=kind,
            )
        )
        if not ended:
            return call.answer(nothing(call, person))
        return call.answer(shown(call, ended[0], call.actor.told, is_sent=True))


class CheckView(Endpoint):
    """`POST /suppressions/check`: whether this person may be contacted by a channel.

    Judged as a lead of theirs would be; what a registry says is licensed, and so told by a no
    alone. Without a fresh registry nobody can say, and the answer is no.
    """

    scopes: ClassVar = {"POST": Scope.SUPPRESSIONS}

    def post(self, call: Call) -> HttpResponse:
        body = call.body()
        person = read_person(call, body)
        body.check()
        call.ignored += body.ignored()
        now = timezone.now()
        found = standing.look_up(call.business, person.phone, person.email_key, person.channel, now)
        reason = None
        if found.own or found.registries:
            reason = MAY_NOT_BE_CONTACTED
        elif not found.is_certain:
            reason = RULES[Rule.CHECK_UNAVAILABLE].sentence
        first = found.own[0] if found.own else None
        return call.answer(
            {
                "allowed": reason is None,
                **named(call.business, person.phone, person.email_key, person.channel),
                "suppressionEntryId": str(first.id) if first else None,
                "source": (first.provenance or None) if first else None,
                "suppressedAt": time_text(first.suppressed_at) if first else None,
                "customerReason": reason,
            }
        )


class SuppressionView(Endpoint):
    """`GET /suppressions/{id}`: one entry of the business, with what was done to it."""

    scopes: ClassVar = {"GET": Scope.SUPPRESSIONS}

    def get(self, call: Call, id: str) -> HttpResponse:
        entry = entries_of(call).filter(id=id).first()
        if entry is None:
            raise not_found()
        tell_masks(call)
        return call.answer(shown(call, entry, released_by([entry]).get(entry.id, "")))


def entries_of(call: Call) -> QuerySet[Suppression]:
    """Return the entries that are there for a call: the business's own, and no registry's."""
    return Suppression.objects.filter(business=call.business)


def carried_out(work: Callable[[], T]) -> T:
    """Return work(), a whole transaction that waits for others' locks on the person.

    Raises Problem `unavailable` if it waited too long: an opt-out must be sent again, not mended.
    """
    try:
        return despite_conflicts(work)
    except DatabaseProblem as error:
        if is_time_up(error):
            raise Problem("unavailable", BUSY) from error
        raise


# --- what is answered -----------------------------------------------------------------------------


def named(business: Business, phone: str, email_key: str, channel: str) -> dict[str, Any]:
    """Return whom an answer is about; we keep no identifiers of others."""
    return {
        "organizationId": str(business.id),
        "businessId": str(business.id),
        "recipientIdentifier": None,
        "normalizedPhoneNumber": phone or None,
        "normalizedEmail": email_key or None,
        "channel": str(channel),
    }


def shown(
    call: Call, entry: Suppression, released_from: str, *, is_sent: bool = False
) -> dict[str, Any]:
    """Return an entry as the call may see it; source: `SuppressionEntryResponse`.

    `is_sent`: the call itself has named the person, who is no secret to it then. `released_from`:
    by what the entry was ended, "" if it stands.
    """
    phone, email_key = entry.phone, entry.email_key
    if not (is_sent or call.may_see_persons):
        phone, email_key = masks.phone(phone), masks.email(email_key)
    audit = audit_of(call, entry, released_from)
    return {
        "id": str(entry.id),
        **named(call.business, phone, email_key, entry.channel),
        "kind": entry.kind,
        "source": entry.provenance or None,
        "status": audit[-1]["status"],
        "reason": audit[-1]["reason"],
        "suppressedAt": time_text(entry.suppressed_at),
        "releasedAt": time_text(entry.released_at) if entry.released_at else None,
        "audit": audit,
    }


def audit_of(call: Call, entry: Suppression, released_from: str) -> list[dict[str, Any]]:
    """Return what was done to an entry, in order; source: `SuppressionEntryAudit`."""
    done = [
        {
            "id": f"{entry.id}-{ACTIVE}",
            "status": ACTIVE,
            "source": entry.provenance,
            "timestamp": time_text(entry.created_at),
            "actorId": str(entry.created_by_id) if entry.created_by_id else None,
            "reason": as_seen(call, entry.reason),
            "safeMetadata": {"kind": entry.kind},
        }
    ]
    if entry.released_at:
        has_evidence = "true" if entry.release_evidence else "false"
        done.append(
            {
                "id": f"{entry.id}-{RELEASED}",
                "status": RELEASED,
                "source": released_from,
                "timestamp": time_text(entry.released_at),
                "actorId": str(entry.released_by_id) if entry.released_by_id else None,
                "reason": as_seen(call, entry.release_reason),
                "safeMetadata": {"kind": entry.kind, "hasEvidence": has_evidence},
            }
        )
    return done


def as_seen(call: Call, text: str) -> str | None:
    """Return a text that somebody wrote; masked, it names no phone or e-mail."""
    return (text if call.may_see_persons else masks.reference(text)) or None


def nothing(call: Call, person: Person) -> dict[str, Any]:
    """Return the answer to a release where nothing stood: an entry that there is none of."""
    return {
        "id": None,
        **named(call.business, person.phone, person.email_key, person.channel),
        "kind": None,
        "source": None,
        "status": NONE,
        "reason": None,
        "suppressedAt": None,
        "releasedAt": None,
        "audit": [],
    }


def released_by(entries: Iterable[Suppression]) -> dict[UUID, str]:
    """Return by what each ended entry was ended: a token, the console or the command line."""
    ended = {one.id: one for one in entries if one.released_at}
    if not ended:
        return {}
    rows = Suppression.history.filter(id__in=list(ended), history_type="~")
    told = dict(rows.values_list("id", "history_change_reason"))
    return {
        id: told.get(id) or ("console" if one.released_by_id else "command line")
        for id, one in ended.items()
    }


def tell_masks(call: Call) -> None:
    """Say in the answer's headers that persons are masked, if they are."""
    if not call.may_see_persons:
        call.headers["Leadping-Masked"] = "true"


# --- lists ----------------------------------------------------------------------------------------


def a_channel(sent: Any) -> Suppression.Channel:
    """Return a channel, by any of its words."""
    found = CHANNEL_WORDS.get(letters(a_text(sent)))
    if found is None:
        raise NotLike(NOT_A_CHANNEL)
    return found


def a_kind(sent: Any) -> Suppression.Kind:
    """Return a kind, in any case."""
    found = KIND_WORDS.get(letters(a_text(sent)))
    if found is None:
        raise NotLike(NOT_A_KIND)
    return found


def a_status(sent: Any) -> str:
    """Return whether an entry stands: active or released, in any case."""
    found = a_text(sent).lower()
    if found not in (ACTIVE, RELEASED):
        raise NotLike(f"This must be one of: {ACTIVE}, {RELEASED}.")
    return found


FIELDS: dict[str, ListField] = {
    fold(one.name): one
    for one in (
        ListField("suppressedAt", a_moment, is_ordered=True, has_range=True),
        ListField("id", an_id),
        ListField("channel", a_channel),
        ListField("kind", a_kind),
        ListField("status", a_status),
        ListField("phoneNumber", a_phone, is_personal=True, is_text=True),
        ListField("normalizedPhoneNumber", a_phone, is_personal=True, is_text=True),
        ListField("email", an_email, is_personal=True, is_text=True),
        ListField("normalizedEmail", an_email, is_personal=True, is_text=True),
    )
}
COLUMN_OF = {
    "suppressedAt": "suppressed_at",
    "phoneNumber": "phone",
    "normalizedPhoneNumber": "phone",
    "email": "email_key",
    "normalizedEmail": "email_key",
}
NO_ROW = Q(pk__in=[])


class SuppressionListView(Endpoint):
    """`POST /suppressions/all/my`: a page of the business's own entries, the newest first."""

    scopes: ClassVar = {"POST": Scope.SUPPRESSIONS}
    is_list = True

    def post(self, call: Call) -> HttpResponse:
        body = call.body(is_optional=True)
        if body.raw("search") is not None and not call.may_see_persons:
            personal(body, "search")
        options = read_options(call, body, "suppressions", FIELDS)
        rows = entries_of(call)
        for name, value in options.filters:
            rows = rows.filter(equal(name, value))
        for name, end, value in options.ranges:
            if value is not None:
                rows = rows.filter(**{f"{COLUMN_OF[name]}__{end}": value})
        if options.search:
            rows = rows.filter(found_by(options.search, options.search_fields))
        items, place = page(call, options, rows)
        total = counted(rows) if options.has_count else None
        tell_masks(call)
        return call.answer(options.page(call, "suppressions", items, total, place))


def equal(name: str, value: Any) -> Q:
    """Return the condition that a field of an entry has a value; None: that it has none."""
    column = COLUMN_OF.get(name, name)
    if column in ("phone", "email_key"):
        # In the words of the partial index, for which it would not be used otherwise.
        return Q(**{column: value}) & ~Q(**{column: ""}) if value else Q(**{column: ""})
    if value is None:
        return NO_ROW
    if name == "status":
        return Q(released_at__isnull=value == ACTIVE)
    return Q(**{column: value})


def found_by(text: str, names: Iterable[str]) -> Q:
    """Return the condition that an entry names just this phone or e-mail."""
    found = NO_ROW
    for name in names or ("phoneNumber", "email"):
        try:
            found |= equal(name, FIELDS[fold(name)].read(text))
        except NotLike:  # it is the other one, or none, which no entry has
            continue
    return found


def page(
    call: Call, options: Options, rows: QuerySet[Suppression]
) -> tuple[list[dict[str, Any]], list[Any] | None]:
    """Return the entries of a page, and where the next one begins, None if there is none."""
    if options.place:
        at, id = datetime.fromisoformat(options.place[0]), UUID(options.place[1])
        place = {"suppressed_at": at, "id": id}
        rows = rows.filter(beyond(Suppression, place, is_descending=options.is_descending))
    sign = "-" if options.is_descending else ""
    rows = rows.order_by(f"{sign}suppressed_at", f"{sign}id")
    entries = list(rows[: options.page_size + 1])
    kept = entries[: options.page_size]
    ended = released_by(kept)
    items = [shown(call, one, ended.get(one.id, "")) for one in kept]
    if len(entries) <= options.page_size or not kept:
        return items, None
    return items, [kept[-1].suppressed_at.isoformat(), str(kept[-1].id)]
