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

Times = list[tuple[datetime, datetime]]


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


def violations() -> Iterator[Violation]:
    """Yield every overlap of a lead's being Approved with a suppression of its person.

    A registry counts while its list was in use; where the list came back into use, once its import
    had got to the entry. It does not count for a source that only flagged it then, nor
    once a lead was released with the person's written consent.
    """
    in_use = times_in_use()
    rows = Lead.objects.filter(erased_at=None).exclude(approved_at=None).order_by("id")
    rows = rows.prefetch_related("reviews")
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


def times_in_use() -> dict[str, Times]:
    """Return for each registry's list from when until when it was in use."""
    times: dict[str, Times] = defaultdict(list)
    for one in RegistryList.objects.all():
        times[one.name].append((one.loaded_at, one.retired_at or FOR_EVER))
    return times


def overlaps(lead: Lead, entry: Suppression, in_use: dict[str, Times]) -> Iterator[Violation]:
    """Yield the times in which a lead was Approved and an entry against it stood."""
    stood: Times = [(entry.created_at, entry.released_at or FOR_EVER)]
    if entry.list_name:
        stood = [
            (max(one[0], stood[0][0]), min(one[1], stood[0][1])) for one in in_use[entry.list_name]
        ]
    for began, ended in approved_times(lead):
        for since, until in stood:
            first, last = max(began, since), min(ended or FOR_EVER, until)
            if first >= last or (entry.list_name and is_allowed(lead, first)):
                continue
            # A list that came back into use: its old entries are looked back for one by one.
            was_renewed = first == since > entry.created_at
            if was_renewed and any(
                one.decision == "suppress" and one.at == last for one in lead.reviews.all()
            ):
                continue
            yield Violation(
                lead.id, entry.id, first, None if last == FOR_EVER else last, began >= since
            )


def is_allowed(lead: Lead, at: datetime) -> bool:
    """Say whether a lead on a registry could be Approved then: flagged only, or by consent."""
    releases = [one for one in lead.reviews.all() if one.decision == "release" and one.at <= at]
    if releases and max(releases, key=lambda one: one.at).written_consent:
        return True
    source = Source.objects.as_of(lead.source_id, at)
    return source is not None and source.modes[Rule.ON_DNC_REGISTRY] == Mode.FLAG
