"""Why a lead was judged as it was: the rules of then, those of today, and the facts of either.

Source: contract §6; DECISIONS, `rules_version`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from leads import caps
from leads.caps import Period
from leads.compliance import judge
from leads.facts import Lookups, facts_of
from leads.findings import Finding, Verdict
from leads.models import Lead, version_of
from leads.past import Past
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

    By default those of its arrival, or of its replay, under which its `rules_version` says that it
    was judged.
    Raises RulesUnknown.
    """
    if as_of is None:
        source = Source.objects.of_version(lead.rules_version.partition("/")[2])
    else:
        source = Source.objects.as_of(lead.source_id, as_of)
    if source is None:
        raise RulesUnknown
    at = as_of or lead.judged_as_of
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
    return Past(lead.business_id, [lead]).of(lead, source, at, _used(lead, source, at, periods))


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
