"""Why a lead was judged as it was: the rules of then, those of today, and the facts of either.

Source: contract §6; DECISIONS, `rules_version`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max, Q, QuerySet

from leads import caps
from leads.caps import Period
from leads.compliance import judge
from leads.facts import KEYS, POSTED, Lookups, entries_of, facts_of, in_use
from leads.findings import Edition, Entry, Finding, Known, Reuse, Verdict
from leads.models import Lead, RegistryList, Suppression, version_of
from sources.models import Source
from sources.rules import Mode, Rule


class RulesUnknown(Exception):
    """The settings of the source at that time are not known: its history begins later."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


@dataclass(frozen=True, slots=True)
class Explanation:
    """A lead judged under the settings and the facts of a moment; nothing is changed by it.

    The code of the rules is that of today; `rules_version` says which it is.
    """

    at: datetime
    rules_version: str
    modes: Mapping[Rule, Mode]
    verdict: Verdict


def explain(lead: Lead, as_of: datetime | None = None) -> Explanation:
    """Judge a lead again under the rules in force at `as_of`, by what was known then.

    By default those of its arrival, under which its `rules_version` says that it was judged.
    Raises RulesUnknown.
    """
    if as_of is None:
        source = Source.objects.of_version(lead.rules_version.partition("/")[2])
    else:
        source = Source.objects.as_of(lead.source_id, as_of)
    if source is None:
        raise RulesUnknown
    at = as_of or lead.received_at
    periods = caps.periods_of(source, at)
    # What had happened by its arrival had happened before it was judged, under its locks.
    looked_up = lookups_as_of(lead, source, as_of or lead.judged_at or at, periods)
    facts = facts_of(lead, source, at, looked_up, periods)
    return Explanation(at, version_of(source), source.modes, judge(facts, source.modes))


@dataclass(frozen=True, slots=True)
class Compared:
    """One rule side by side: its modes and findings in two explanations, None where it has none."""

    rule: Rule
    modes: tuple[Mode, Mode]
    findings: tuple[Finding | None, Finding | None]


def side_by_side(then: Explanation, now: Explanation) -> list[Compared]:
    """Return the rules in the published order, each as it was judged in both explanations."""
    found = [{one.rule: one for one in each.verdict.findings} for each in (then, now)]
    return [
        Compared(
            rule,
            (then.modes[rule], now.modes[rule]),
            (found[0].get(rule), found[1].get(rule)),
        )
        for rule in Rule
    ]


def lookups_as_of(lead: Lead, source: Source, at: datetime, periods: Iterable[Period]) -> Lookups:
    """Return what other rows said of a lead at a moment; of the present, what `gather` would."""
    people = Lead.objects.filter(business=lead.business_id, is_test=False, judged_at__lte=at)
    editions = _editions(at)
    return Lookups(
        _known(lead, source, people, at),
        in_use(_entries(lead, source, at), editions),
        editions,
        _reuses(lead, people),
        _used(lead, source, at, periods),
    )


def _known(lead: Lead, source: Source, people: QuerySet[Lead], at: datetime) -> tuple[Known, ...]:
    found: dict[str, Known] = {}
    for match, key in KEYS.items():
        if not getattr(lead, key):
            continue
        rows = (
            people.filter(**{key: getattr(lead, key)}, approved_at__lte=at)
            .filter(Q(erased_at=None) | Q(erased_at__gt=at))
            .exclude(id=lead.id)
            .prefetch_related("reviews")
            .order_by("-received_at")
        )
        if source.duplicate_scope == Source.DuplicateScope.SOURCE:
            rows = rows.filter(source=lead.source_id)
        for one in rows.iterator(chunk_size=100):
            if one.status_at(at) == Lead.Status.APPROVED:
                known = Known(str(one.id), str(one.source_id), one.received_at, match)
                found.setdefault(known.lead, known)
                break
    return tuple(found.values())


def _entries(lead: Lead, source: Source, at: datetime) -> list[Entry]:
    rows = Suppression.objects.active_at(at).in_force_for(source.business)
    return entries_of(rows.matching(lead.phone, lead.email_key), lead.phone)


def _editions(at: datetime) -> tuple[Edition, ...]:
    rows = (
        RegistryList.objects.filter(Q(retired_at=None) | Q(retired_at__gt=at), loaded_at__lte=at)
        .values("name")
        .annotate(newest=Max("listed_on"))
        .order_by("name")
    )
    return tuple(Edition(one["name"], one["newest"]) for one in rows)


def _reuses(lead: Lead, people: QuerySet[Lead]) -> tuple[Reuse, ...]:
    if not lead.certificate_id:
        return ()
    mine = {match: getattr(lead, KEYS[match]) for match in KEYS}
    others = people.filter(certificate_id=lead.certificate_id).exclude(id=lead.id)
    if lead.judged_at:
        others = others.filter(judged_at__lt=lead.judged_at)
    for one in others.order_by("received_at"):
        differs = tuple(
            match
            for match, posted in POSTED.items()
            if mine[match] and getattr(one, posted) and getattr(one, posted) != mine[match]
        )
        if differs:
            return (Reuse(str(one.id), differs),)
    return ()


def _used(lead: Lead, source: Source, at: datetime, periods: Iterable[Period]) -> dict[str, int]:
    used = {}
    for period in periods:
        count = caps.approved_in(source, period.starts_at, period.ends_at, known_at=at)
        approved_at, judged_at = lead.approved_at, lead.judged_at
        is_mine_in = (
            not lead.is_test
            and approved_at is not None
            and judged_at is not None
            and period.starts_at <= approved_at < period.ends_at
            and judged_at < at
            and approved_at <= at
        )
        used[period.name] = count - is_mine_in
    return used
