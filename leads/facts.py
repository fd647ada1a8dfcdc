"""Gathers what the compliance rules judge by, under the locks on the person.

Whoever judges uses `lock_person`, a look-up, `facts_of` and `decide`, in this order and in one
transaction: a review by `gather`, intake by a statement of its own into which it joins the `arms`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection, models

from leads import caps, normalize
from leads.caps import CapCounter, Period
from leads.compliance import judge
from leads.findings import Cap, Edition, Entry, Facts, Known, Reuse, Verdict
from leads.suppressions import EMAIL_CHANNELS, PHONE_CHANNELS, RegistryList, Suppression
from sources.locks import caps_of, locking, subjects
from sources.models import Source
from sources.sql import as_field, name_of, table
from sources.statements import Result, Statement, Values, round_trip

if TYPE_CHECKING:
    from leads.models import Lead

# When a lead that has not been judged yet was judged.
NEVER = datetime.max.replace(tzinfo=UTC)
# The last US zone in which a day begins.
LAST_US_ZONE = ZoneInfo("Pacific/Pago_Pago")


# --- what is looked up --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One row that a look-up found; `what` says of which kind it is, and so what the rest means."""

    what: str
    id: UUID | None
    other: UUID | None
    at: datetime | None
    till: datetime | None
    word: str
    more: str
    name: str
    number: int


COLUMNS = tuple(one.name for one in dataclasses.fields(Row))
# What a column that an arm leaves empty holds, and of which type; the first arm's types count.
EMPTY = ("", "NULL", "NULL", "NULL", "NULL", "''", "''", "''", "0")
TYPES = ("text", "uuid", "uuid", "timestamptz", "timestamptz", "text", "text", "text", "bigint")


def arm(
    what: str, source: str, *, is_first: bool = False, is_limited: bool = False, **values: str
) -> str:
    """Return one SELECT of a UNION ALL: a literal `what`, these columns as SQL, the rest empty.

    `source` is its FROM and all that follows; `is_limited`: an ORDER BY and LIMIT too.
    """
    if is_limited:
        named = ", ".join(f"{sql} AS {name}" for name, sql in values.items())
        source = f"FROM (SELECT {named} {source}) AS one"
        values = {name: name for name in values}
    selected = [f"'{what}'"]
    for name, empty, kind in list(zip(COLUMNS, EMPTY, TYPES, strict=True))[1:]:
        selected.append(values.pop(name, f"CAST({empty} AS {kind})" if is_first else empty))
    assert not values, values
    return f"SELECT {', '.join(selected)} {source}"


def is_person(model: type[models.Model], match: str) -> str:
    """Return the condition that a row names the person, in the words of the partial index."""
    key = name_of(model, KEYS[match])
    return f"{key} = %({match})s AND NOT ({key} = '')"


def known_arm(lead_model: type[models.Model], match: str) -> str:
    """Return the look-up of the newest approved lead of the same person in scope."""
    one = partial(name_of, lead_model)
    return arm(
        f"known-{match}",
        f"FROM {table(lead_model)} "
        f"WHERE {one('business')} = %(business)s AND {is_person(lead_model, match)} "
        f"AND {one('compliance_status')} = 'Approved' "
        f"AND NOT {one('is_test')} AND {one('erased_at')} IS NULL AND {one('id')} <> %(lead)s "
        f"AND ({one('source')} = %(source)s OR %(is_any_source)s) "
        f"ORDER BY {one('received_at')} DESC LIMIT 1",
        is_limited=True,
        id=one("id"),
        other=one("source"),
        at=one("received_at"),
    )


def suppressed_arm(match: str, channels: Iterable[str]) -> str:
    """Return the look-up of the suppressions that stand against the person."""
    one = partial(name_of, Suppression)
    named = ", ".join(f"'{channel}'" for channel in channels)
    return arm(
        f"suppressed-{match}",
        f"FROM {table(Suppression)} "
        f"WHERE {is_person(Suppression, match)} AND {one('channel')} IN ({named}) "
        f"AND {one('released_at')} IS NULL "
        f"AND ({one('business')} = %(business)s OR {one('business')} IS NULL)",
        id=one("id"),
        at=one("suppressed_at"),
        word=one("kind"),
        more=one("channel"),
        name=one("list_name"),
    )


def reused_arm(lead_model: type[models.Model]) -> str:
    """Return the look-up of the first lead that came before with the certificate, for another."""
    one = partial(name_of, lead_model)
    differs = {
        match: f"({one(posted)} <> %({match})s"
        f" AND NOT ({one(posted)} = '') AND NOT (%({match})s = ''))"
        for match, posted in POSTED.items()
    }
    return arm(
        "reused",
        f"FROM {table(lead_model)} "
        f"WHERE {one('business')} = %(business)s AND {one('certificate_id')} = %(certificate)s "
        f"AND NOT ({one('certificate_id')} = '') "
        f"AND NOT {one('is_test')} AND {one('id')} <> %(lead)s "
        f"AND {one('judged_at')} < %(judged_at)s "
        f"AND ({differs['phone']} OR {differs['email']}) "
        f"ORDER BY {one('received_at')} LIMIT 1",
        is_limited=True,
        id=one("id"),
        word=f"CASE WHEN {differs['phone']} THEN 'phone' ELSE '' END",
        more=f"CASE WHEN {differs['email']} THEN 'email' ELSE '' END",
    )


def editions_arm() -> str:
    """Return the look-up of the newest edition of each registry's list in use."""
    one = partial(name_of, RegistryList)
    return arm(
        "edition",
        f"FROM {table(RegistryList)} WHERE {one('retired_at')} IS NULL GROUP BY {one('name')}",
        name=one("name"),
        word=f"CAST(max({one('listed_on')}) AS text)",
    )


def used_arm() -> str:
    """Return the look-up of the counters of the source's caps."""
    one = partial(name_of, CapCounter)
    return arm(
        "used",
        f"FROM {table(CapCounter)} "
        f"WHERE {one('source')} = %(source)s AND {one('version')} = %(counters_version)s "
        f"AND {one('period')} IN (%(day)s, %(month)s)",
        word=one("period"),
        number=one("used"),
    )


@cache
def arms(vendor: str, lead_model: type[models.Model]) -> tuple[str, ...]:
    """Return the look-ups on a person as SELECTs to be joined by UNION ALL.

    Made once for each kind of database, which `vendor` names. `parameters` has the values.
    """
    return (
        known_arm(lead_model, "phone"),
        known_arm(lead_model, "email"),
        suppressed_arm("phone", PHONE_CHANNELS),
        suppressed_arm("email", EMAIL_CHANNELS),
        reused_arm(lead_model),
        editions_arm(),
        used_arm(),
    )


@cache
def gathering(vendor: str, lead_model: type[models.Model]) -> Statement:
    """Return the statement behind `gather`."""
    return Statement(" UNION ALL ".join(arms(vendor, lead_model)))


KEYS = {"phone": "phone", "email": "email_key"}
POSTED = {"phone": "posted_phone", "email": "posted_email_key"}


def parameters(lead: Lead, source: Source, periods: Iterable[Period]) -> dict[str, Any]:
    """Return the values for `arms`."""
    names = {"daily": "", "monthly": ""} | {one.word: one.name for one in periods}
    return {
        "business": source.business_id,
        "source": source.id,
        "lead": lead.id,
        "phone": lead.phone,
        "email": lead.email_key,
        "certificate": lead.certificate_id,
        "judged_at": lead.judged_at or NEVER,
        "is_any_source": source.duplicate_scope == Source.DuplicateScope.BUSINESS,
        "counters_version": source.counters_version,
        "day": names["daily"],
        "month": names["monthly"],
    }


def rows_of(result: Result, lead_model: type[models.Model]) -> list[Row]:
    """Return what a UNION ALL of arms found, its values as Python has them."""
    if connection.vendor == "postgresql":  # whose driver knows the types
        return [Row(*one) for one in result.rows]
    ids, times = lead_model._meta.pk, lead_model._meta.get_field("received_at")
    convert: tuple[Callable[[Any], Any], ...] = (
        *(str, lambda one: as_field(ids, one), lambda one: as_field(ids, one)),
        *(lambda one: as_field(times, one), lambda one: as_field(times, one)),
        *(str, str, str, int),
    )
    return [
        Row(*(one(value) for one, value in zip(convert, row, strict=True))) for row in result.rows
    ]


# --- the facts of a lead ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lookups:
    """What other rows say of a lead; None is what could not be looked up.

    Entries of a list that is no longer in use are of no account.
    """

    known: tuple[Known, ...] | None = None
    entries: tuple[Entry, ...] | None = None
    editions: tuple[Edition, ...] | None = None
    reuses: tuple[Reuse, ...] | None = None
    used: dict[str, int] | None = None


FAILED = Lookups()


def lock_person(lead: Lead) -> None:
    """Take the locks on a lead's phone, e-mail and certificate until the transaction ends.

    And share the one on the caps of its source, whose counters then stay the same.
    """
    round_trip(locking_person(lead))


def locking_person(lead: Lead) -> list[tuple[Statement, Values]]:
    """Return the statement behind `lock_person`, with its values."""
    wanted = subjects(lead.phone, lead.email_key, lead.certificate_id)
    return locking(wanted, shared=[caps_of(lead.source_id)])


def periods_for(lead: Lead, source: Source, at: datetime) -> tuple[Period, ...]:
    """Return the periods whose caps hold for a lead: none, once it has been counted."""
    return () if lead.approved_at else caps.periods_of(source, at)


def gather(lead: Lead, source: Source, at: datetime) -> Facts:
    """Return the facts by which to judge a lead at `at`, looked up in one statement.

    For the present: `at` is the arrival of a lead, or now.
    """
    lead_model = type(lead)
    periods = periods_for(lead, source, at)
    result = gathering(connection.vendor, lead_model).run(parameters(lead, source, periods))
    found = rows_of(result, lead_model)
    return facts_of(lead, source, at, lookups_of(found), periods)


def lookups_of(rows: Iterable[Row]) -> Lookups:
    """Return what the rows of `arms` say."""
    known: dict[str, Known] = {}
    entries: dict[str, Entry] = {}
    editions, reuses = [], []
    used = {}
    for row in rows:
        what, _, match = row.what.partition("-")
        if what == "known":
            assert row.at
            known.setdefault(str(row.id), Known(str(row.id), str(row.other), row.at, match))
        elif what == "suppressed":
            assert row.at
            is_registry = row.word == Suppression.Kind.DNC_REGISTRY
            entries.setdefault(
                str(row.id),
                Entry(str(row.id), row.word, row.more, row.at, match, is_registry, row.name),
            )
        elif what == "reused":
            reuses.append(Reuse(str(row.id), tuple(filter(None, (row.word, row.more)))))
        elif what == "edition":
            editions.append(Edition(row.name, date.fromisoformat(row.word)))
        elif what == "used":
            used[row.word] = row.number
    return Lookups(
        tuple(known.values()),
        in_use(entries.values(), editions),
        tuple(sorted(editions, key=lambda one: one.name)),
        tuple(reuses),
        used,
    )


def entries_of(rows: Iterable[Suppression], phone: str) -> list[Entry]:
    """Return suppressions that match a person as the rules know them."""
    return [
        Entry(
            str(one.id),
            one.kind,
            one.channel,
            one.suppressed_at,
            "phone" if one.reaches_phone(phone) else "email",
            one.kind == Suppression.Kind.DNC_REGISTRY,
            one.list_name,
        )
        for one in rows
    ]


def in_use(entries: Iterable[Entry], editions: Iterable[Edition]) -> tuple[Entry, ...]:
    """Return the entries in order of time, without those of lists that are no longer in use."""
    lists = {one.name for one in editions}
    used = [one for one in entries if not one.is_registry or one.list_name in lists]
    return tuple(sorted(used, key=lambda one: (one.since, one.id)))


def facts_of(
    lead: Lead, source: Source, at: datetime, found: Lookups, periods: Iterable[Period]
) -> Facts:
    """Return the facts of a lead, stored or not yet, of its source and of what was looked up.

    The counter of a period that has none yet is made.
    """
    used = None
    if found.used is not None:
        used = tuple(
            Cap(
                one.word,
                one.name,
                one.cap,
                found.used[one.name] if one.name in found.used else caps.begin(source, one),
            )
            for one in periods
        )
    return Facts(
        arrived_on=lead.received_at.astimezone(LAST_US_ZONE).date(),
        judged_at=at.astimezone(UTC),
        source=str(source.id),
        is_source_approved=source.is_compliance_approved,
        allowed_states=listed(normalize.state(one) for one in source.allowed_states),
        allowed_products=listed(source.allowed_products),
        allowed_verticals=listed(source.allowed_verticals),
        is_trusted_form_required=source.is_trusted_form_required,
        duplicate_window_days=source.duplicate_window_days,
        is_duplicate_in_business=source.duplicate_scope == Source.DuplicateScope.BUSINESS,
        state=normalize.without_format_characters(lead.state),
        postal_code=lead.postal_code,
        country=lead.country,
        product=normalize.without_format_characters(lead.product),
        vertical=normalize.without_format_characters(lead.vertical),
        certificate_url=lead.trusted_form_url,
        certificate_id=lead.certificate_id,
        has_phone=bool(lead.phone),
        can_phone_exist=not lead.phone or normalize.can_phone_exist(lead.phone),
        birth_date=lead.birth_date,
        known=found.known,
        entries=found.entries,
        editions=found.editions,
        reuses=found.reuses,
        caps=used,
    )


def listed(values: Iterable[str]) -> frozenset[str]:
    """Return a source's list as it is compared: trimmed, case-folded, without what is not seen."""
    return frozenset(normalize.without_format_characters(one).strip().casefold() for one in values)


def decide(
    facts: Facts,
    source: Source,
    periods: tuple[Period, ...],
    *,
    is_counted: bool,
    is_released: Callable[[Verdict], bool] = lambda verdict: not verdict.standing,
) -> tuple[Verdict, Facts]:
    """Judge a lead; if it becomes Approved and `is_counted`, count it in the caps of its source.

    Whether it does, `is_released` says: by default when nothing stands against it. Returns the
    verdict with the facts that it rests on: another lead may have used a cap up in between.
    """
    verdict = judge(facts, source.modes)
    if not is_counted or not periods or not is_released(verdict):
        return verdict, facts
    full = caps.take(source, periods, is_limited=True)
    if full is None:
        return verdict, facts.with_one_more_approved()
    facts = facts.with_cap_used_up(full.word)
    verdict = judge(facts, source.modes)
    if not is_released(verdict):
        return verdict, facts
    caps.take(source, periods, is_limited=False)
    return verdict, facts.with_one_more_approved()
