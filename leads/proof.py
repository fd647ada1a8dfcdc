"""The proof, over the whole history, that nobody was let out while they were suppressed.

It goes by the rows alone: when each lead was Approved, by its reviews, and when each suppression of
its person stood. The two must never overlap. It shares no code with what keeps them apart.
Source: contract §6 `suppressed`; DECISIONS, Intake 3.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.db.models import Q

from leads.models import Lead, RegistryList, Suppression
from leads.past import approved_times, chunks
from sources.models import Source
from sources.rules import Mode, Rule

AT_ONCE = 1000
FOR_EVER = datetime.max.replace(tzinfo=UTC)
ON_PHONE = ("sms", "voice", "all")
ON_EMAIL = ("email", "all")


@dataclass(frozen=True, slots=True)
class Violation:
    """A lead that was Approved while its person was suppressed, from when until when.

    `was_let_out`: it became Approved while the entry stood; else it had been before, and was not
    blocked when the entry came. None: it is Approved still.
    """

    lead_id: UUID
    entry_id: UUID
    since: datetime
    until: datetime | None
    was_let_out: bool


@dataclass(frozen=True, slots=True)
class InUse:
    """A time in which a list was in use, and until when its standing entries were looked back for.

    `renewed_at`: FOR_EVER if that has not come to an end.
    """

    since: datetime
    until: datetime
    renewed_at: datetime


def violations() -> Iterator[Violation]:
    """Yield every overlap of a lead's being Approved with a suppression of its person.

    A registry counts while its list was in use. It does not for a source that only flagged it then,
    nor once a lead was released with the person's written consent; nor, for entries that stood in a
    list before it came into use, for leads that were blocked while its import looked back.
    """
    in_use = times_in_use()
    rows = Lead.objects.filter(erased_at=None).order_by("id").prefetch_related("reviews")
    rows = rows.filter(Q(approved_at__isnull=False) | Q(compliance_status="Approved"))
    for leads in chunks(rows.iterator(AT_ONCE), AT_ONCE):
        phones = {one.phone for one in leads} - {""}
        email_keys = {one.email_key for one in leads} - {""}
        entries: dict[str, list[Suppression]] = defaultdict(list)
        named = Q(phone__in=phones, channel__in=ON_PHONE) & ~Q(phone="")
        for entry in Suppression.objects.filter(named):
            entries[entry.phone].append(entry)
        named = Q(email_key__in=email_keys, channel__in=ON_EMAIL) & ~Q(email_key="")
        for entry in Suppression.objects.filter(named):
            entries[entry.email_key].append(entry)
        for lead in leads:
            found = {
                entry.id: entry
                for value in (lead.phone, lead.email_key)
                if value
                for entry in entries.get(value, ())
            }
            for entry in found.values():
                if entry.business_id in (None, lead.business_id):
                    yield from overlaps(lead, entry, in_use)


def times_in_use() -> dict[str, list[InUse]]:
    """Return for each registry's list when it was in use, each such time as a whole."""
    times: dict[str, list[InUse]] = defaultdict(list)
    for one in RegistryList.objects.order_by("loaded_at"):
        until = one.retired_at or FOR_EVER
        known = times[one.name]
        if known and one.loaded_at <= known[-1].until:
            last = known[-1]
            known[-1] = InUse(last.since, max(last.until, until), last.renewed_at)
        else:
            known.append(InUse(one.loaded_at, until, one.renewed_at or FOR_EVER))
    return times


def overlaps(lead: Lead, entry: Suppression, in_use: dict[str, list[InUse]]) -> Iterator[Violation]:
    """Yield the times in which a lead was Approved and an entry against it stood."""
    came, went = entry.created_at, entry.released_at or FOR_EVER
    stood = [InUse(came, went, came)]
    if entry.list_name:
        stood = [
            InUse(max(one.since, came), min(one.until, went), one.renewed_at)
            for one in in_use[entry.list_name]
        ]
    for began, ended in approved_times(lead):
        for one in stood:
            first, last = max(began, one.since), min(ended or FOR_EVER, one.until)
            if first >= last or (entry.list_name and is_allowed(lead, first)):
                continue
            was_let_out = began >= one.since
            is_renewal = entry.list_name and one.since > came and not was_let_out
            if is_renewal and last <= one.renewed_at and last != FOR_EVER:
                continue
            yield Violation(
                lead.id, entry.id, first, None if last == FOR_EVER else last, was_let_out
            )


def is_allowed(lead: Lead, at: datetime) -> bool:
    """Say whether a lead on a registry could be Approved then: flagged only, or by consent."""
    releases = [one for one in lead.reviews.all() if one.decision == "release" and one.at <= at]
    if releases and max(releases, key=lambda one: one.at).written_consent:
        return True
    source = Source.objects.as_of(lead.source_id, at)
    return source is not None and source.modes[Rule.ON_DNC_REGISTRY] == Mode.FLAG
