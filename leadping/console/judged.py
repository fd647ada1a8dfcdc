"""Judged as of: one lead by the rules and facts of its arrival, beside those of another moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_GET

from leadping.console.evidence import Line, evidence_for, told_evidence
from leadping.console.pages import needs, page
from leadping.console.story import listed
from leads import reveals
from leads.explain import Compared, Explanation, RulesUnknown, explain, side_by_side
from leads.findings import Finding, Verdict
from leads.models import Disclosure, Lead
from leads.moments import bound
from leads.rulebook import TOLD
from sources.rules import Mode


class NotAMoment(ValueError):
    """This is no moment by which a lead can be judged."""


@dataclass(frozen=True, slots=True)
class Side:
    """One rule in one explanation: its mode, and what it found, "" for nothing."""

    mode: str
    sentence: str
    evidence: list[Line]


@dataclass(frozen=True, slots=True)
class Row:
    """One rule, as the lead was judged by it then and as it is now."""

    code: str
    blocks: str
    then: Side
    now: Side
    is_mode_other: bool
    is_finding_other: bool

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.then, self.now

    @property
    def is_other(self) -> bool:
        return self.is_mode_other or self.is_finding_other


@require_GET
@needs("leads.view_lead")
def judged(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Show how a lead was judged when it came, and how it would be as of a moment; `?as_of=`."""
    lead = get_object_or_404(Lead.objects.select_related("source", "business"), pk=pk)
    now = timezone.now()
    user: Any = request.user
    # Before it is answered: an undo names who was shown the lead.
    Disclosure(lead=lead, at=now, by=user, how=Disclosure.How.PAGE).save()
    text = request.GET.get("as_of", "").strip()
    trouble, at = "", now
    try:
        at = as_of(text, lead, now) if text else now
    except NotAMoment as error:
        trouble = str(error)
    then, later = known(lead, None), None if trouble else known(lead, at)
    is_revealed = reveals.is_revealed(user, now, lead=lead)
    rows = []
    if then and later:
        rows = [row_of(one, user, is_revealed) for one in side_by_side(then, later)]
    return page(
        request,
        "lead_judged.html",
        "Lead, judged as of",
        status=400 if trouble else 200,
        lead=lead,
        tags=list(lead.tags.all()),
        tab="judged",
        trouble=trouble,
        filled=f"{timezone.localtime(at):%Y-%m-%dT%H:%M:%S}",
        zone=f"{timezone.localtime(at):%Z}",
        is_now=at == now,
        then=then,
        later=later,
        then_since=set_at(then),
        later_since=set_at(later),
        outcome=outcome_of(then, later, is_now=at == now) if then and later else "",
        rows=rows,
        others=sum(one.is_other for one in rows),
        on_arrival=[one["code"] for one in lead.findings],
        again=[one.rule.value for one in then.verdict.findings] if then else [],
    )


def as_of(text: str, lead: Lead, now: datetime) -> datetime:
    """Return the moment that a URL names, a date or a date-time; a day stands for its end.

    In the console's zone, unless it names its own. Raises NotAMoment.
    """
    try:
        at = bound(text, is_end=True)
    except ValueError:
        raise NotAMoment("This is neither a date nor a date with a time.") from None
    if len(text) == len("2026-11-25"):
        at = now if text == str(timezone.localdate(now)) else at - timedelta(microseconds=1)
    if at > now:
        raise NotAMoment("This lies in the future: what will be known then is not known.")
    if at < lead.judged_as_of:
        raise NotAMoment("The lead had not come by then.")
    return at


def known(lead: Lead, at: datetime | None) -> Explanation | None:
    """Return a lead judged as of a moment, or of its arrival; None if the rules are not known."""
    try:
        return explain(lead, at)
    except RulesUnknown:
        return None


def set_at(one: Explanation | None) -> datetime | None:
    """Return since when the settings of a source were those; their version begins with the time."""
    if one is None:
        return None
    version = UUID(one.rules_version.partition("/")[2])
    return datetime.fromtimestamp((version.int >> 80) / 1000, tz=timezone.get_current_timezone())


def outcome_of(then: Explanation, later: Explanation, *, is_now: bool) -> str:
    """Return in one sentence what became of a lead then, and what would now."""
    again = word_of(later.verdict)
    when = "now" if is_now else "at that moment"
    first = word_of(then.verdict)
    if (first, is_now) == (again, True):
        return f"{first.capitalize()} then, and would be now."
    return f"{put(first, 'then').capitalize()}; would be {put(again, when)}."


def put(outcome: str, when: str) -> str:
    """Return an outcome with its time behind the verb: "held now for duplicate"."""
    verb, _, rest = outcome.partition(" ")
    return f"{verb} {when} {rest}".strip()


def word_of(verdict: Verdict) -> str:
    """Return what judging came to: "approved", "held for duplicate", "refused for underage"."""
    for verb, findings in (("refused", verdict.rejecting), ("held", verdict.holding)):
        if findings:
            return f"{verb} for {listed([one.rule.value for one in findings])}"
    return "approved"


def row_of(one: Compared, user: Any, is_revealed: bool) -> Row:
    """Return a rule as it is shown to a user."""

    def side(mode: Mode, found: Finding | None) -> Side:
        if found is None:
            return Side(mode.value, "", [])
        evidence, pages = evidence_for(user, dict(found.evidence), is_revealed=is_revealed)
        return Side(mode.value, found.sentence, told_evidence(evidence, pages))

    (mode_then, mode_now), (then, now) = one.modes, one.findings
    # The mode of a finding may be another than the rule's; its evidence may name other rows.
    is_finding_other = (then and (then.sentence, then.mode)) != (now and (now.sentence, now.mode))
    return Row(
        one.rule.value,
        TOLD[one.rule].blocks.replace("`", ""),
        side(mode_then, then),
        side(mode_now, now),
        is_mode_other=mode_then != mode_now,
        is_finding_other=is_finding_other,
    )
