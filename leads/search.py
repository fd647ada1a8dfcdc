"""A search for leads that understands what was typed, by index and never by scanning.

What was typed stays out of every URL: the list of leads is asked for those that are like a lead
which fits, e.g. `phone_of=<id>`. A part of a value finds leads only for who may reveal persons: by
parts one could spell out what the masks hide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F, Q
from django.db.models.lookups import Exact

from leads import masks, normalize
from leads.models import Lead
from sources.models import Business, Source
from sources.sql import LastFour

PARAMS = ("id_of", "phone_of", "email_of", "external_of", "ending_of", "name_of", "certificate_of")
AT_SIGNS = ("@", "\uff20", "\ufe6b")
ENDING = re.compile(r"[0-9]{4,9}", re.ASCII)
ENDING_LENGTH, LONGEST_ENDING = 4, 9
SHORTEST_BEGINNING = 2
LONGEST_TYPED = 400
TOO_LITTLE = (
    "Nothing fits as a whole. By a part of a phone or name you may search only with the permission "
    "to reveal persons."
)
NOTHING = "No lead has this phone, e-mail, name, id or vendor's id."


class NotFitting(Exception):
    """The search in the address is of a lead that is not there, or of nothing."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


@dataclass(frozen=True, slots=True)
class Match:
    """What a text turned out to mean, and the newest lead that fits.

    `how` is a word for it, `told` the value masked; `param` and `value` ask the list of leads for
    all that fit.
    """

    how: str
    lead: UUID
    told: str
    param: str
    value: str


@dataclass(frozen=True, slots=True)
class Fitting:
    """Which leads fit a search, and what it is for, masked."""

    q: Q
    told: str


# --- by what leads are found ----------------------------------------------------------------------


def by_phone(number: str) -> Q:
    return Q(business__in=businesses(), phone=number) & ~Q(phone="")


def by_email(key: str) -> Q:
    return Q(business__in=businesses(), email_key=key) & ~Q(email_key="")


def by_certificate(key: str) -> Q:
    return Q(business__in=businesses(), certificate_id=key) & ~Q(certificate_id="")


def by_external_id(text: str) -> Q:
    """Return the leads with this vendor's own id, of every source.

    Found apart from the order of the list, for which SQLite would read a whole source.
    """
    sources = list(Source.objects.values_list("id", flat=True))
    rows = Lead.objects.filter(source__in=sources, external_id=text).exclude(external_id="")
    return Q(id__in=rows.order_by().values("id"))


def by_ending(digits: str) -> Q:
    """Return the leads whose phone ends so: by the index on four, the others told apart."""
    whole = Q(Exact(LastFour(F("phone")), digits[-ENDING_LENGTH:])) & ~Q(phone="")
    return whole & Q(phone__endswith=digits) if len(digits) > ENDING_LENGTH else whole


def by_name(key: str, *, is_beginning: bool) -> Q:
    """Return the leads whose name is this, or begins so, by the key that names are searched by."""
    kept = ~Q(name_key="")
    if not is_beginning:
        return Q(name_key=key) & kept
    if connection.vendor == "sqlite":  # whose LIKE does not use the index
        return Q(name_key__gte=key, name_key__lt=f"{key}\U0010ffff") & kept
    return Q(name_key__startswith=key) & kept


def businesses() -> list[UUID]:
    """Return all businesses: by each of them the indexes on a person begin."""
    return list(Business.objects.values_list("id", flat=True))


# --- what was typed -------------------------------------------------------------------------------


def find(text: str, *, may_reveal: bool) -> list[Match]:
    """Return the meanings of a text that some lead fits, the likeliest first; [] if none does."""
    try:
        text = normalize.plain_text(text)
    except normalize.BadCharacters:
        return []
    if not text or len(text) > LONGEST_TYPED:
        return []
    found = []
    for how, param, q, measure in meanings(text, may_reveal=may_reveal):
        lead = newest(q)
        if lead:
            told, value = measure(lead)
            found.append(Match(how, lead.id, told, param, value))
            if how in ("id", "email"):
                break  # which can mean nothing else
    return found


Meaning = tuple[str, str, Q, Callable[[Lead], tuple[str, str]]]


def meanings(text: str, *, may_reveal: bool) -> Iterator[Meaning]:
    """Yield what a text may mean: a word, the parameter, the leads, what is told of one of them."""

    def plain(told: Callable[[Lead], str]) -> Callable[[Lead], tuple[str, str]]:
        return lambda lead: (told(lead), str(lead.id))

    try:
        yield "id", "id_of", Q(id=UUID(text)), plain(lambda lead: str(lead.id))
    except ValueError:
        pass
    if any(one in text for one in AT_SIGNS):
        try:
            key = normalize.email_key(normalize.email(text))
        except normalize.Unacceptable:
            pass
        else:
            yield "email", "email_of", by_email(key), plain(lambda lead: masks.email(lead.email))
    try:
        number = normalize.phone(text)
    except normalize.Unacceptable:
        pass
    else:
        yield "phone", "phone_of", by_phone(number), plain(lambda lead: masks.phone(lead.phone))
    if len(text) <= 255:
        yield (
            *("vendor_id", "external_of", by_external_id(text)),
            plain(lambda lead: masks.reference(lead.external_id)),
        )
    digits = normalize.ascii_digits(text)
    if may_reveal and ENDING.fullmatch(digits):
        yield "ending", "ending_of", by_ending(digits), partial(ending_told, length=len(digits))
    yield from names(text, may_reveal=may_reveal)


def names(text: str, *, may_reveal: bool) -> Iterator[Meaning]:
    """Yield what a text means as a name: last and first, first and last, the last name alone."""
    last, comma, first = text.partition(",")
    words = normalize.name_key(f"{last} {first}").split()
    if not words or any(one.isdigit() for one in words):
        return
    keys = [" ".join(words)]
    if not comma and len(words) > 1:
        keys.append(" ".join([words[-1], *words[:-1]]))
    for key in keys:
        for length, q in beginnings(key, may_reveal=may_reveal):
            yield "name", "name_of", q, partial(name_told, length=length)


def beginnings(key: str, *, may_reveal: bool) -> Iterator[tuple[int, Q]]:
    """Yield how much of the key of a name may be searched by, and the leads: the whole first."""
    if may_reveal:
        if len(key) >= SHORTEST_BEGINNING:
            yield len(key), by_name(key, is_beginning=True)
        return
    yield len(key), by_name(key, is_beginning=False)
    yield len(key) + 1, by_name(f"{key} ", is_beginning=True)  # a last name, whatever the first


def newest(q: Q) -> Lead | None:
    """Return the newest lead of these."""
    rows = Lead.objects.filter(q).only(
        *("external_id", "phone", "email", "first_name", "last_name", "name_key")
    )
    return rows.order_by("-received_at", "-id").first()


def ending_told(lead: Lead, length: int) -> tuple[str, str]:
    return f"phone ending in {'•' * (length - 2)}{lead.phone[-2:]}", f"{lead.id}.{length}"


def name_told(lead: Lead, length: int) -> tuple[str, str]:
    told = f"name {masks.name(lead.last_name or lead.first_name)}"
    return told, f"{lead.id}.{length}"


def why_not(text: str, *, may_reveal: bool) -> str:
    """Return in a sentence why nothing was found."""
    return NOTHING if may_reveal else TOO_LITTLE


# --- what the list of leads is asked for ----------------------------------------------------------


def fitting(param: str, value: str, *, may_reveal: bool) -> Fitting:
    """Return the leads that fit a search of the URL; raises NotFitting.

    By a part of a name or phone only for who may search by one; of others a name is taken by whole
    words.
    """
    key, _, length_text = value.partition(".")
    try:
        lead = Lead.objects.get(id=UUID(key))
        length = int(length_text) if length_text else 0
    except (ValueError, Lead.DoesNotExist):
        raise NotFitting from None
    if param == "name_of":
        return fitting_name(lead, length, may_reveal=may_reveal)
    if param == "ending_of":
        return fitting_ending(lead, length, may_reveal=may_reveal)
    kept, by, told = LIKE[param]
    if not getattr(lead, kept):
        raise NotFitting
    return Fitting(by(getattr(lead, kept)), told(lead))


def fitting_name(lead: Lead, length: int, *, may_reveal: bool) -> Fitting:
    """Return the leads whose name begins as that of one, or is the same."""
    key = lead.name_key
    if not key:
        raise NotFitting
    is_part = SHORTEST_BEGINNING <= length < len(key)
    is_whole_words = is_part and key[length - 1] == " "
    if is_part and (may_reveal or is_whole_words):
        return Fitting(by_name(key[:length], is_beginning=True), name_told(lead, length)[0])
    return Fitting(by_name(key, is_beginning=False), f"name {masks.who(lead).partition(' · ')[0]}")


def fitting_ending(lead: Lead, length: int, *, may_reveal: bool) -> Fitting:
    """Return the leads whose phone ends as that of one."""
    if not may_reveal or not lead.phone or not ENDING_LENGTH <= length <= LONGEST_ENDING:
        raise NotFitting
    return Fitting(by_ending(lead.phone[-length:]), ending_told(lead, length)[0])


# What leads are like by: the column, the leads that are, and what is told of it.
LIKE: dict[str, tuple[str, Callable[[Any], Q], Callable[[Lead], str]]] = {
    "id_of": ("id", lambda key: Q(id=key), lambda lead: f"id {lead.id}"),
    "phone_of": ("phone", by_phone, lambda lead: masks.phone(lead.phone)),
    "email_of": ("email_key", by_email, lambda lead: masks.email(lead.email)),
    "external_of": (
        *("external_id", by_external_id),
        lambda lead: f"vendor's id {masks.reference(lead.external_id)}",
    ),
    "certificate_of": (
        *("certificate_id", by_certificate),
        lambda lead: f"certificate …{lead.certificate_id[-6:]}",
    ),
}
