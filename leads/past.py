"""What other rows said of leads at moments of the past, looked up for many leads at once.

Of the present it is what `leads/facts.py` gathers. Explaining and rehearsing judge by it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from leads.facts import KEYS, POSTED, Lookups, entries_of, in_use
from leads.findings import Edition, Entry, Known, Reuse
from leads.models import Lead, RegistryList, Suppression
from sources.models import Source


def was_approved(one: Lead, at: datetime) -> bool:
    """Say whether a lead was there and Approved at a moment, and not erased by then."""
    return (
        one.judged_at is not None
        and one.judged_at <= at
        and one.approved_at is not None
        and one.approved_at <= at
        and (one.erased_at is None or one.erased_at > at)
        and one.status_at(at) == Lead.Status.APPROVED
    )


class Past:
    """The rows that name the persons and certificates of some leads of one business."""

    def __init__(self, business_id: UUID, leads: Sequence[Lead]) -> None:
        people = Lead.objects.filter(business=business_id, is_test=False)
        self.known: dict[tuple[str, str], list[Lead]] = defaultdict(list)
        for match, key in KEYS.items():
            values = {getattr(one, key) for one in leads} - {""}
            rows = people.exclude(**{key: ""}).filter(**{f"{key}__in": values})
            for one in rows.prefetch_related("reviews").order_by("-received_at"):
                self.known[match, getattr(one, key)].append(one)
        self.entries: dict[tuple[str, str], list[Suppression]] = defaultdict(list)
        standing = Suppression.objects.in_force_for(business_id)
        for name in ("phone", "email_key"):
            values = {getattr(one, name) for one in leads} - {""}
            for entry in standing.exclude(**{name: ""}).filter(**{f"{name}__in": values}):
                self.entries[name, getattr(entry, name)].append(entry)
        self.by_certificate: dict[str, list[Lead]] = defaultdict(list)
        certificates = {one.certificate_id for one in leads} - {""}
        rows = people.exclude(certificate_id="").filter(certificate_id__in=certificates)
        for one in rows.order_by("received_at"):
            self.by_certificate[one.certificate_id].append(one)
        self.lists = list(RegistryList.objects.all())

    def of(
        self,
        lead: Lead,
        source: Source,
        at: datetime,
        used: dict[str, int],
        was_approved: Callable[[Lead, datetime], bool] = was_approved,
        is_there: Callable[[Lead], bool] = bool,
    ) -> Lookups:
        """Return what the rows said of a lead at a moment, under the scope of this source.

        `used`: how much of each cap was used, by the name of its period. The other two say it of
        other leads: whether they were approved at a moment, and whether they are leads at all; by
        default as it was in truth.
        """
        editions = self.editions_at(at)
        return Lookups(
            self.known_at(lead, source, at, was_approved),
            in_use(self.entries_at(lead, at), editions),
            editions,
            self.reuses_at(lead, at, is_there),
            used,
        )

    def known_at(
        self,
        lead: Lead,
        source: Source,
        at: datetime,
        was_approved: Callable[[Lead, datetime], bool],
    ) -> tuple[Known, ...]:
        """Return the newest lead of the same person, by each match, that was approved then."""
        found: dict[str, Known] = {}
        is_any_source = source.duplicate_scope == Source.DuplicateScope.BUSINESS
        for match, key in KEYS.items():
            for one in self.known.get((match, getattr(lead, key)), ()):
                if one.id == lead.id or not (is_any_source or one.source_id == lead.source_id):
                    continue
                if was_approved(one, at):
                    known = Known(str(one.id), str(one.source_id), one.received_at, match)
                    found.setdefault(known.lead, known)
                    break
        return tuple(found.values())

    def entries_at(self, lead: Lead, at: datetime) -> list[Entry]:
        """Return the suppressions that stood against a lead's person, registries among them."""
        rows: dict[UUID, Suppression] = {}
        for name in ("phone", "email_key"):
            for one in self.entries.get((name, getattr(lead, name)), ()):
                is_there = one.created_at <= at and (not one.released_at or one.released_at > at)
                if is_there and one.names(lead.phone, lead.email_key):
                    rows[one.id] = one
        return entries_of(rows.values(), lead.phone)

    def editions_at(self, at: datetime) -> tuple[Edition, ...]:
        """Return the newest edition of each list that was in use."""
        newest: dict[str, Edition] = {}
        for one in sorted(self.lists, key=lambda one: one.listed_on):
            if one.loaded_at <= at and (one.retired_at is None or one.retired_at > at):
                newest[one.name] = Edition(one.name, one.listed_on)
        return tuple(newest[name] for name in sorted(newest))

    def reuses_at(
        self, lead: Lead, at: datetime, is_there: Callable[[Lead], bool]
    ) -> tuple[Reuse, ...]:
        """Return the first lead that came before with the certificate, for another person."""
        mine = {match: getattr(lead, key) for match, key in KEYS.items()}
        for one in self.by_certificate.get(lead.certificate_id, ()):
            if one.id == lead.id or one.judged_at is None or one.judged_at > at:
                continue
            if not is_there(one):
                continue
            if lead.judged_at and one.judged_at >= lead.judged_at:
                continue
            differs = tuple(
                match
                for match, posted in POSTED.items()
                if mine[match] and getattr(one, posted) and getattr(one, posted) != mine[match]
            )
            if differs:
                return (Reuse(str(one.id), differs),)
        return ()


def approved_times(lead: Lead) -> list[tuple[datetime, datetime | None]]:
    """Return from when until when a lead was Approved, by its reviews; None: it is so still."""
    reviews = sorted(lead.reviews.all(), key=lambda one: (one.at, one.id))
    began: datetime | None = None
    status = reviews[0].status_before if reviews else lead.compliance_status
    if status == Lead.Status.APPROVED:
        began = lead.judged_at or lead.received_at
    times: list[tuple[datetime, datetime | None]] = []
    for one in reviews:
        is_approved = one.status_after == Lead.Status.APPROVED
        if is_approved and began is None:
            began = one.at
        elif not is_approved and began is not None:
            times.append((began, one.at))
            began = None
    if began is None and reviews and lead.compliance_status == Lead.Status.APPROVED:
        began = reviews[-1].at  # by no decision: somebody went round them
    if began is not None:
        times.append((began, None))
    return times


def chunks(leads: Iterable[Lead], size: int) -> Iterable[list[Lead]]:
    """Yield leads in lists of so many."""
    chunk: list[Lead] = []
    for one in leads:
        chunk.append(one)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
