"""What somebody typed to find a lead by: which person or id it means, and all leads that fit.

Each look-up goes by an index of `Lead`, whatever is typed. An address tells such a search by a lead
that fits and never by what was typed, for addresses are kept in logs and histories.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet, Value
from django.db.models.lookups import Exact
from django.views.decorators.debug import sensitive_variables

from leads import masks, normalize
from leads.models import Lead
from sources.models import Business, Source
from sources.sql import LastFour

TEXT_MAX_LENGTH = 400
ID_MAX_LENGTH = 255
# What an address may tell of a search: like the lead that it names, by its phone, and so on.
PARAMS = ("id_of", "phone_of", "email_of", "external_of", "ending_of", "name_of", "certificate_of")
# As keyboards of East Asia have it, too.
AT_SIGNS = ("@", "\uff20", "\ufe6b")
# How much of a phone's end names few enough, and how little of it is not yet the whole.
ENDING = re.compile(r"[0-9]{4,9}")
ENDING_MIN_LENGTH, ENDING_MAX_LENGTH = 4, 9
NAME_MIN_LETTERS = 2
# Among so many of a name, the newest ones are found by looking at all of them.
FEW = 5000
# In which order names come nobody knows: of so many words, each may be the first of the last name.
NAME_MAX_WORDS = 5
LENGTH = re.compile(r"[0-9]{1,3}w?")
CERTIFICATE_ID = re.compile(r"[0-9a-f]{40}")
LAST_CHARACTER = "\U0010ffff"
AFTER_SPACE = "!"


@dataclass(frozen=True, slots=True)
class Match:
    """What a text turned out to mean, and the newest lead that fits.

    `how`: "id", "email", "phone", "vendor_id", "certificate", "ending" or "name". `told` is masked.
    `param` and `value` are how an address tells it: `fitting` reads them.
    """

    how: str
    lead: UUID
    told: str
    param: str
    value: str


@dataclass(frozen=True, slots=True)
class Fitting:
    """The condition of all leads that fit, and what that is, masked."""

    q: Q
    told: str


class NotFitting(Exception):
    """The search in the address is of no lead that it could go by, or not open to you."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


# --- what a text means ----------------------------------------------------------------------------


@sensitive_variables()
def find(text: str, *, may_reveal: bool) -> list[Match]:
    """Return what `text` means of which there are leads, the likeliest first; [] if nothing.

    Whole values find leads for everybody; the beginning of a name and the end of a phone only for
    those who may reveal: letter by letter they would tell what is masked.
    """
    readable = read(text)
    return _matches(readable, may_reveal) if readable else []


@sensitive_variables()
def why_not(text: str, *, may_reveal: bool) -> str:
    """Return why `find` found nothing, as a sentence; what partly fits changes nothing in it."""
    readable = read(text)
    if not text.strip():
        return "Type a phone number, an e-mail address, a name or an id."
    if readable is None:
        return "This cannot be searched for: it is too long, or holds characters that nothing has."
    if any(sign in readable for sign in AT_SIGNS):
        if _email_key(readable):
            return "No lead has this e-mail address."
        return normalize.NotAnEmail().sentence
    if _phone(readable):
        return "No lead has this phone number or this id."
    digits = normalize.ascii_digits(readable)
    if digits.isdigit():
        if len(digits) < ENDING_MIN_LENGTH:
            return "No lead has this id. Of a phone number give at least the last four digits."
        if len(digits) <= ENDING_MAX_LENGTH and not may_reveal:
            return (
                "No lead has this id. Only those who may reveal leads find them by the end of a "
                "phone number: give the whole number."
            )
        return "No lead has this id, or a phone number that ends so."
    if not may_reveal:
        return (
            "No lead has this name or this id. Only those who may reveal leads find them by the "
            "beginning of a name: give the whole last name, or first and last name."
        )
    if len(normalize.name_key(readable)) < NAME_MIN_LETTERS:
        return "No lead has this name or this id. Give at least two letters of a last name."
    return "No lead has a last name that begins so, or this id."


@sensitive_variables()
def read(text: str) -> str | None:
    """Return a text trimmed and on one line; None if there is none, or no lead could hold it."""
    try:
        readable = normalize.plain_text(text)
        readable.encode()
    except (normalize.BadCharacters, UnicodeEncodeError):
        return None
    return readable if 0 < len(readable) <= TEXT_MAX_LENGTH else None


@sensitive_variables()
def _matches(text: str, may_reveal: bool) -> list[Match]:
    # A list, not a generator, whose frames `sensitive_variables` does not know.
    found = []
    if (id_ := _uuid(text)) and (lead := _newest(Q(id=id_))):
        found.append(_match("id", "id_of", lead, f"lead {lead.id}"))
    email_key = _email_key(text)
    if email_key and (lead := _newest(_has_email(email_key))):
        found.append(_match("email", "email_of", lead, _told_email(lead)))
    number = _phone(text)
    if number and (lead := _newest(_has_phone(number))):
        found.append(_match("phone", "phone_of", lead, _told_phone(lead)))
    if (external_id := _external_id(text)) and (lead := _newest(_has_external_id(external_id))):
        found.append(_match("vendor_id", "external_of", lead, _told_external_id(lead)))
    certificate = normalize.certificate_id(text) or text.lower()
    if CERTIFICATE_ID.fullmatch(certificate) and (lead := _newest(_has_certificate(certificate))):
        found.append(_match("certificate", "certificate_of", lead, _told_certificate(lead)))
    ending = normalize.ascii_digits(text)
    if may_reveal and ENDING.fullmatch(ending) and (lead := _newest(_ends_in(ending))):
        length = "" if len(ending) == ENDING_MIN_LENGTH else f".{len(ending)}"
        found.append(_match("ending", "ending_of", lead, _told_ending(lead), length))
    if not email_key and not number:
        found += _matches_by_name(text, may_reveal)
    return found


@sensitive_variables()
def _matches_by_name(text: str, may_reveal: bool) -> list[Match]:
    keys = _name_keys(text)
    found = []
    for key in keys:
        if lead := _newest(_found_apart(_is_named(key))):
            words = len(key.split())
            is_whole = key == lead.name_key
            told = _told_name(lead, is_whole=is_whole)
            found.append(_match("name", "name_of", lead, told, f".{words}w"))
    if found or not may_reveal:
        return found
    for key in keys:
        if len(key) >= NAME_MIN_LETTERS and (lead := _newest(_found_apart(_name_begins(key)))):
            told = _told_name(lead, is_beginning=True)
            found.append(_match("name", "name_of", lead, told, f".{len(key)}"))
    return found


def _match(how: str, param: str, lead: Lead, told: str, length: str = "") -> Match:
    return Match(how, lead.id, told, param, f"{lead.id}{length}")


# --- all leads that fit ---------------------------------------------------------------------------


@sensitive_variables()
def fitting(param: str, value: str, *, may_reveal: bool) -> Fitting:
    """Return the condition of the leads that are alike in one respect, which an address tells.

    `param`: a `Match.param`; `value`: the id of a lead that fits, and perhaps how much of it was
    meant, in characters or, with a w, in words. Raises NotFitting. Three statements at most.
    """
    id_text, _, length_text = value.partition(".")
    id_ = _uuid(id_text)
    lead = _newest(Q(id=id_)) if id_ else None
    if lead is None or (length_text and not LENGTH.fullmatch(length_text)):
        raise NotFitting
    if param == "id_of":
        return Fitting(Q(id=lead.id), f"lead {lead.id}")
    if param == "email_of" and lead.email_key:
        return Fitting(_has_email(lead.email_key), _told_email(lead))
    if param == "phone_of" and lead.phone:
        return Fitting(_has_phone(lead.phone), _told_phone(lead))
    if param == "external_of" and lead.external_id:
        return Fitting(_has_external_id(lead.external_id), _told_external_id(lead))
    if param == "certificate_of" and lead.certificate_id:
        return Fitting(_has_certificate(lead.certificate_id), _told_certificate(lead))
    if param == "ending_of" and lead.phone and may_reveal and not length_text.endswith("w"):
        length = int(length_text or ENDING_MIN_LENGTH)
        if ENDING.fullmatch(lead.phone[-length:]):
            return Fitting(_ends_in(lead.phone[-length:]), _told_ending(lead))
    if param == "name_of" and lead.name_key:
        return _fitting_name(lead, length_text, may_reveal)
    raise NotFitting


@sensitive_variables()
def _fitting_name(lead: Lead, length: str, may_reveal: bool) -> Fitting:
    """Return the leads whose name begins as this one's, by so many words, or characters.

    Characters, by which one could spell a name out, only for those who may reveal; others get the
    whole name.
    """
    key = lead.name_key
    number = int(length.removesuffix("w") or 0)
    words = key.split()
    if length.endswith("w") and 0 < number < len(words):
        return Fitting(_found_apart(_is_named(" ".join(words[:number]))), _told_name(lead))
    if may_reveal and length.isdigit() and NAME_MIN_LETTERS <= number < len(key):
        begun = _found_apart(_name_begins(key[:number]))
        return Fitting(begun, _told_name(lead, is_beginning=True))
    return Fitting(_found_apart(_is_named(key)), _told_name(lead, is_whole=True))


# --- within one business --------------------------------------------------------------------------

# What a text is looked for in, in one business, by the names of the wire; the first need no right.
PLAIN_FIELDS = ("id", "externalId")
PERSONAL_FIELDS = ("phone", "email", "firstName", "lastName")


@sensitive_variables()
def in_business(text: str, business: Business, fields: Collection[str]) -> Q:
    """Return the condition of the leads of one business that a text fits in some of these fields.

    A name by its beginning, a phone by its end too. Few statements, each by an index.
    """
    readable = read(text)
    if readable is None:
        return Q(pk__in=[])
    parts: list[Q] = []
    if "id" in fields and (id_ := _uuid(readable)):
        parts.append(Q(id=id_))
    if "externalId" in fields and (external_id := _external_id(readable)):
        sources = list(Source.objects.filter(business=business).values_list("id", flat=True))
        parts.append(Q(source__in=sources, external_id=external_id) & ~Q(external_id=""))
    if "email" in fields and (email_key := _email_key(readable)):
        parts.append(Q(email_key=email_key) & ~Q(email_key=""))
    if "phone" in fields:
        if number := _phone(readable):
            parts.append(Q(phone=number) & ~Q(phone=""))
        ending = normalize.ascii_digits(readable)
        if ENDING.fullmatch(ending):
            parts.append(_ends_in(ending))
    if not {"firstName", "lastName"}.isdisjoint(fields):
        keys = [one for one in _name_keys(readable) if len(one) >= NAME_MIN_LETTERS]
        parts += [_name_begins(key) for key in keys]
    return _of_ids([Q(business=business) & one for one in parts])


def _of_ids(parts: list[Q]) -> Q:
    """Return the condition that one of these holds, by ids if not many leads fit any of them."""
    found: set[UUID] = set()
    for one in parts:
        ids = Lead.objects.filter(one).order_by().values_list("id", flat=True)[: FEW + 1]
        found.update(ids)
        if len(found) > FEW:
            return functools.reduce(operator.or_, parts)
    return Q(id__in=list(found))


# --- as it is matched -----------------------------------------------------------------------------


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


@sensitive_variables()
def _email_key(text: str) -> str:
    """Return what an address is matched by, "" if it is none."""
    for sign in AT_SIGNS:
        text = text.replace(sign, "@")
    try:
        return normalize.email_key(normalize.email(text))
    except normalize.NotAnEmail:
        return ""


@sensitive_variables()
def _phone(text: str) -> str:
    """Return a number in E.164, "" if it is none."""
    try:
        return normalize.phone(text)
    except normalize.NotAPhone:
        return ""


@sensitive_variables()
def _external_id(text: str) -> str:
    """Return a vendor's own id, "" if it cannot be one."""
    try:
        id_ = normalize.plain_id(text)
    except normalize.BadIdCharacters:
        return ""
    return id_ if len(id_) <= ID_MAX_LENGTH else ""


@sensitive_variables()
def _name_keys(text: str) -> list[str]:
    """Return by which keys a name may be filed: as said by its comma, else first names first."""
    last, comma, first = text.partition(",")
    words = normalize.name_key(text).split()
    starts = range(1, len(words) + 1) if len(words) <= NAME_MAX_WORDS else [len(words)]
    keys = [normalize.name_key(last, first)] if comma else []
    keys += [" ".join((*words[at:], *words[:at])) for at in starts]
    return [key for key in dict.fromkeys(keys) if any(one.isalpha() for one in key)]


# --- conditions, in the words of the indexes ------------------------------------------------------


@sensitive_variables()
def _leads(q: Q) -> QuerySet[Lead]:
    """Return the leads that fit, the newest first, with what a match tells of them."""
    fields = ("phone", "email", "email_key", "external_id", "certificate_id")
    names = ("first_name", "last_name", "name_key")
    return Lead.objects.filter(q).order_by("-received_at", "-id").only(*fields, *names)


@sensitive_variables()
def _newest(q: Q) -> Lead | None:
    return _leads(q).first()


def _of_all_businesses() -> Q:
    """Return the first part of the indexes on persons, who are looked for in all businesses."""
    return Q(business__in=list(Business.objects.order_by("id").values_list("id", flat=True)))


@sensitive_variables()
def _has_phone(number: str) -> Q:
    return _of_all_businesses() & Q(phone=number) & ~Q(phone="")


@sensitive_variables()
def _has_email(email_key: str) -> Q:
    return _of_all_businesses() & Q(email_key=email_key) & ~Q(email_key="")


@sensitive_variables()
def _has_certificate(certificate_id: str) -> Q:
    return _of_all_businesses() & Q(certificate_id=certificate_id) & ~Q(certificate_id="")


@sensitive_variables()
def _has_external_id(external_id: str) -> Q:
    """Return the leads with this id of their vendor, of every source.

    Found apart from the order of lists, for which both databases would read a whole source.
    """
    sources = list(Source.objects.order_by("id").values_list("id", flat=True))
    rows = Lead.objects.filter(source__in=sources, external_id=external_id).exclude(external_id="")
    return Q(id__in=rows.order_by().values("id"))


@sensitive_variables()
def _ends_in(ending: str) -> Q:
    q = Q(Exact(LastFour("phone"), Value(ending[-ENDING_MIN_LENGTH:]))) & ~Q(phone="")
    return q & Q(phone__endswith=ending) if len(ending) > ENDING_MIN_LENGTH else q


@sensitive_variables()
def _is_named(key: str) -> Q:
    """Return who has these words first in their key, and all of them to the end of a word."""
    if connection.vendor == "sqlite":  # one range: nothing in a key comes before a space
        return Q(name_key__gte=key, name_key__lt=key + AFTER_SPACE) & ~Q(name_key="")
    return (Q(name_key=key) | Q(name_key__startswith=f"{key} ")) & ~Q(name_key="")


@sensitive_variables()
def _name_begins(key: str) -> Q:
    if connection.vendor == "sqlite":  # whose LIKE goes by no index
        return Q(name_key__gte=key, name_key__lt=key + LAST_CHARACTER) & ~Q(name_key="")
    return Q(name_key__startswith=key) & ~Q(name_key="")


def _found_apart(q: Q) -> Q:
    """Return the same condition, by ids if not many leads fit it.

    Of names the databases know too little to tell whether any lead has them: in the order of a list
    they would look for the newest one through all leads there are.
    """
    ids = list(Lead.objects.filter(q).order_by().values_list("id", flat=True)[: FEW + 1])
    return Q(id__in=ids) if len(ids) <= FEW else q


# --- as it is told --------------------------------------------------------------------------------


def _told_phone(lead: Lead) -> str:
    return f"phone {masks.phone(lead.phone)}"


def _told_email(lead: Lead) -> str:
    return f"e-mail {masks.email(lead.email)}"


def _told_external_id(lead: Lead) -> str:
    return f"vendor's id {masks.reference(lead.external_id)}"


def _told_certificate(lead: Lead) -> str:
    return f"certificate {lead.certificate_id[:8]}…"


def _told_ending(lead: Lead) -> str:
    return f"phone ending {masks.HIDDEN}{lead.phone[-2:]}"


def _told_name(lead: Lead, *, is_whole: bool = False, is_beginning: bool = False) -> str:
    """Return a name, masked: the whole of it, or the last name, of which perhaps the beginning."""
    if is_whole:
        told = " ".join(filter(None, (masks.name(lead.first_name), masks.name(lead.last_name))))
        return f"name {told}"
    word = "name beginning" if is_beginning else "name"
    return f"{word} {masks.name(lead.last_name or lead.first_name)}"
