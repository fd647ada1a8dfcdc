"""What other settings of a source would do: its leads of some days judged by both, side by side.

By the facts of the moment at which each lead was judged first, by the pure rules of intake. Nothing
is written.
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from heapq import heappop, heappush
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.db.models.functions import Coalesce

from leads import caps
from leads.caps import Period
from leads.compliance import judge
from leads.facts import facts_of
from leads.findings import Verdict
from leads.models import Lead
from leads.past import Past, chunks, was_approved
from sources.models import Source
from sources.rules import ALLOWED_MODES, Mode, Rule

AT_ONCE = 500
EXAMPLES = 5

# The settings of a source by which a lead is judged, its modes apart.
SETTINGS = frozenset(
    {
        *("compliance_approved_at", "allowed_states", "allowed_products", "allowed_verticals"),
        *("is_trusted_form_required", "duplicate_window_days", "duplicate_scope"),
        *("daily_cap", "monthly_cap", "time_zone"),
    }
)


class Became(StrEnum):
    """What becomes of a lead when it is judged."""

    APPROVED = "approved"
    HELD = "held"
    REFUSED = "refused"


@dataclass(slots=True)
class Flips:
    """The leads of which one rule makes something else: how many, and some of them."""

    more: int = 0  # that it would hold or refuse, and does not now
    fewer: int = 0  # that it holds or refuses now, and would not
    otherwise: int = 0  # that it holds now and would refuse, or the other way round
    more_examples: list[UUID] = field(default_factory=list)
    fewer_examples: list[UUID] = field(default_factory=list)


@dataclass(slots=True)
class Rehearsal:
    """How a source's leads would fare by other settings, against those of now.

    `became` counts leads by what they become by the settings of now and by the others. `refused`
    posts, of which a rule refused each, are no leads and so not among them.
    """

    since: datetime
    leads: int = 0
    refused: int = 0
    became: Counter[tuple[Became, Became]] = field(default_factory=Counter)
    rules: dict[Rule, Flips] = field(default_factory=lambda: defaultdict(Flips))

    def count(self, now: Became | None, then: Became | None) -> int:
        """Return how many leads go from one outcome to the other; None is any other outcome."""
        return sum(
            number
            for (before, after), number in self.became.items()
            if before != after and now in (None, before) and then in (None, after)
        )

    @property
    def more_held(self) -> int:
        """Return how many more leads would be held than are by the settings of now."""
        return self.count(None, Became.HELD)

    @property
    def fewer_held(self) -> int:
        """Return how many leads that are held by the settings of now would not be."""
        return self.count(Became.HELD, None)


def changed(source: Source, settings: Mapping[str, Any], modes: Mapping[Rule, Mode]) -> Source:
    """Return a source with other settings and modes, for judging by it, not for saving.

    Raises ValidationError for what cannot be set so.
    """
    unknown = set(settings) - SETTINGS
    if unknown:
        raise ValidationError(f"Leads are not judged by: {', '.join(sorted(unknown))}.")
    other = copy.copy(source)
    for name, value in settings.items():
        setattr(other, name, value)
    other.clean_fields(
        exclude=[one.name for one in Source._meta.fields if one.name not in settings]
    )
    for rule, mode in modes.items():
        if mode not in ALLOWED_MODES[rule]:
            allowed = ", ".join(ALLOWED_MODES[rule])
            raise ValidationError({"mode": f"{rule} may be set to: {allowed}."})
    other.modes = source.modes | dict(modes)
    return other


def rehearse(
    source: Source,
    settings: Mapping[str, Any],
    modes: Mapping[Rule, Mode],
    *,
    days: float,
    now: datetime,
) -> Rehearsal:
    """Judge a source's leads of the last days by its settings and modes and by others.

    Tests and erased leads apart. Each is judged by what was known of its person when it was judged
    first. Which of the source's other leads of these days were approved by then, so that it is a
    duplicate or over a cap, is as it would have been by either settings. Raises ValidationError.
    """
    other = changed(source, settings, modes)
    since = now - timedelta(days=days)
    done = Rehearsal(since)
    refused = source.posts.filter(received_at__gte=since, lead=None, key__is_test=False)
    done.refused = refused.filter(findings__isnull=False).count()
    rows = source.leads.filter(is_test=False).annotate(
        came_at=Coalesce("replayed_at", "received_at")  # `judged_as_of`, in the database
    )
    is_rehearsed = Q(erased_at=None, came_at__gte=since)
    others = rows.exclude(is_rehearsed).filter(approved_at__gte=since)
    times = others.order_by("approved_at").values_list("approved_at", flat=True)
    approved = [one for one in times if one]
    judges = (Judge(source, since, approved), Judge(other, since, approved))
    rows = rows.filter(is_rehearsed).order_by("came_at", "id")
    for leads in chunks(rows.iterator(AT_ONCE), AT_ONCE):
        past = Past(source.business_id, leads)
        for lead in leads:
            before, after = (one.judge(lead, past) for one in judges)
            done.leads += 1
            done.became[became(before), became(after)] += 1
            if became(before) != became(after):
                note(done.rules, lead, before, after)
    return done


class Judge:
    """Judges leads of a source in order, by its settings, each after what became of those before.

    What staff and suppressions decided on them later is as it was.
    """

    def __init__(self, source: Source, since: datetime, approved: list[datetime]) -> None:
        self.source = source
        self.since = since
        # When leads were approved that are not judged here, or that a review let out later.
        self.approved_besides = list(approved)  # in order, and so a heap
        self.used: dict[str, int] = {}
        self.arrived: dict[UUID, Became] = {}

    def judge(self, lead: Lead, past: Past) -> Verdict:
        """Return the verdict on a lead as of when it was judged first."""
        at = lead.judged_as_of
        while self.approved_besides and self.approved_besides[0] <= at:
            self.fill(heappop(self.approved_besides))
        periods = self.periods_of(at)
        looked_up = past.of(
            lead,
            self.source,
            lead.judged_at or at,
            dict(self.used),
            self.was_approved,
            lambda one: self.arrived.get(one.id) != Became.REFUSED,
        )
        facts = facts_of(lead, self.source, at, looked_up, periods)
        verdict = judge(facts, self.source.modes)
        self.arrived[lead.id] = became(verdict)
        if not verdict.standing:
            self.fill(at)
        elif lead.approved_at and lead.approved_at > at:
            heappush(self.approved_besides, lead.approved_at)
        return verdict

    def fill(self, at: datetime) -> None:
        """Count one more approved lead in the caps of a moment."""
        for one in self.periods_of(at):
            self.used[one.name] += 1

    def periods_of(self, at: datetime) -> tuple[Period, ...]:
        """Return the capped periods of a moment, begun with what came before these days."""
        periods = caps.periods_of(self.source, at)
        for one in periods:
            if one.name not in self.used:
                until = min(max(self.since, one.starts_at), one.ends_at)
                self.used[one.name] = caps.approved_in(self.source, one.starts_at, until)
        return periods

    def was_approved(self, one: Lead, at: datetime) -> bool:
        """Say whether another lead was Approved at a moment, had it been judged by these settings.

        One of another source, or from before these days, if it was in truth.
        """
        if one.id not in self.arrived:
            return was_approved(one, at)
        decided = [review for review in one.reviews.all() if review.at <= at]
        if decided:
            return decided[-1].status_after == Lead.Status.APPROVED
        return self.arrived[one.id] == Became.APPROVED


def became(verdict: Verdict) -> Became:
    """Return what becomes of a lead with this verdict."""
    if verdict.rejecting:
        return Became.REFUSED
    return Became.HELD if verdict.holding else Became.APPROVED


def note(rules: dict[Rule, Flips], lead: Lead, before: Verdict, after: Verdict) -> None:
    """Note by which rules a lead flips."""
    stood = {one.rule: one.mode for one in before.standing}
    stands = {one.rule: one.mode for one in after.standing}
    for rule in Rule:
        if stood.get(rule) == stands.get(rule):
            continue
        flips = rules[rule]
        flips.otherwise += rule in stands and rule in stood
        if rule in stands and rule not in stood:
            flips.more += 1
            if len(flips.more_examples) < EXAMPLES:
                flips.more_examples.append(lead.id)
        if rule in stood and rule not in stands:
            flips.fewer += 1
            if len(flips.fewer_examples) < EXAMPLES:
                flips.fewer_examples.append(lead.id)
