"""A new suppression, and what it means for leads that had been let out before it.

It blocks every approved lead of its person in the same transaction, under the locks that intake and
release take, so that at no moment a lead is approved whose person is suppressed. Source: contract
§6 `suppressed`, `on-dnc-registry`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import prefetch_related_objects
from django.utils import timezone

from leads import normalize
from leads.compliance import RULES
from leads.counts import count_again
from leads.facts import entries_of
from leads.findings import Facts, Finding
from leads.models import Lead, LookBack, RegistryList, Suppression, to_millisecond
from leads.reviews import Review, act_by
from sources.locks import list_of, lock
from sources.models import Business, Source
from sources.rules import Mode, Rule
from sources.tokens import Actor, ApiToken


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A suppression that stands, whether it is new, and the leads that were blocked for it."""

    entry: Suppression
    is_new: bool
    look_backs: list[LookBack]


def suppress(
    *,
    business: Business | None,
    phone: str = "",
    email: str = "",
    kind: Suppression.Kind,
    channel: Suppression.Channel | None = None,
    reason: str = "",
    provenance: str = "",
    by: Any = None,
    since: datetime | None = None,
    list_name: str = "",
    listed_on: date | None = None,
    token: ApiToken | None = None,
) -> Suppressed:
    """Suppress a person in any spelling, and block the leads of theirs that were let out.

    An entry that stands already, of the same person, business, channel, kind and list, is returned
    as it is. When this has returned, no lead of the person is or becomes Approved: intake and
    release take the same locks; of a registry, none but by mode `flag` or written consent.
    `channel`: by default all. `since`: when the person said so, now by default. For a registry no
    business, but the list's name and date. `token`: by which `by` does it, for the entry's history.
    Raises Unacceptable for what is no phone or e-mail, ValidationError for what cannot be or would
    block nothing.
    """
    entry = Suppression(
        business=business,
        phone=normalize.phone(normalize.plain_text(phone)) if phone else "",
        email_key=normalize.email_key(normalize.email(normalize.plain_text(email)))
        if email
        else "",
        kind=kind,
        channel=channel or Suppression.Channel.ALL,
        reason=reason,
        provenance=provenance,
        created_by=by,
        list_name=list_name,
        listed_on=listed_on,
    )
    with transaction.atomic():
        if list_name:
            lock([list_of(list_name)])
        lock(entry.subjects())
        leads = approved_of(business, [entry.phone], [entry.email_key])
        # Once we have the locks, on the person and on the leads: in the order of events.
        entry.created_at = timezone.now()
        entry.suppressed_at = since or entry.created_at
        entry.full_clean(validate_constraints=False)
        if listed_on:
            RegistryList.objects.make_known(list_name, listed_on)
        same = Suppression.objects.active().filter(
            business=business,
            phone=entry.phone,
            email_key=entry.email_key,
            channel=entry.channel,
            kind=kind,
            list_name=list_name,
        )
        found = same.first()
        if not found:
            if token:
                Actor(by, token).sign(entry)
            entry.save(force_insert=True)
        return Suppressed(found or entry, not found, block(leads, entry.created_at))


def look_back(
    business: Business | UUID | None, phones: Collection[str], email_keys: Collection[str]
) -> list[LookBack]:
    """Block each approved lead of these persons that a standing suppression names.

    Of one business, or of all. With the persons locked.
    """
    return block(approved_of(business, phones, email_keys), timezone.now())


def block(leads: list[Lead], at: datetime) -> list[LookBack]:
    """Block those of these approved leads, locked with their persons, that are suppressed.

    A registry blocks no lead of a source that only flags it, nor one that was released with the
    person's written consent. In a few statements, however many leads there are.
    """
    if not leads:
        return []
    prefetch_related_objects(leads, "reviews")
    rows = Source.objects.with_settings().filter(id__in={one.source_id for one in leads})
    sources = {one.id: one for one in rows}
    entries = standing_against(leads)
    reviews, look_backs = [], []
    blocked: dict[tuple[str, str | None, str], list[UUID]] = defaultdict(list)
    for lead in leads:
        lead.source = sources[lead.source_id]
        against = [
            one
            for one in {*entries[lead.phone], *entries[lead.email_key]}
            if one.names(lead.phone, lead.email_key) and one.business_id in (None, lead.business_id)
        ]
        against.sort(key=lambda one: (one.suppressed_at, one.id))
        found = findings_of(lead, against, at)
        if not found:
            continue
        is_own = found[0].rule == Rule.SUPPRESSED
        entry = next(one for one in against if is_own == (not one.list_name))
        review = lead.suppressed(found, entry, at)
        blocked[lead.compliance_blocked_reason, lead.desk_tab, lead.found].append(lead.id)
        reviews.append(review)
        look_backs.append(
            LookBack(
                lead=lead,
                suppression=entry,
                review=review,
                at=at,
                act_by=act_by(entry.suppressed_at),
            )
        )
    for (reason, desk_tab, found_now), ids in blocked.items():
        Lead.objects.filter(id__in=ids).update(
            compliance_status=Lead.Status.BLOCKED,
            compliance_blocked_reason=reason,
            desk_tab=desk_tab,
            found=found_now,
            modified_at=to_millisecond(at),
        )
    Review.objects.bulk_create(reviews, batch_size=500)
    LookBack.objects.bulk_create(look_backs, batch_size=500)
    count_again((one.lead.source_id, one.lead.received_at) for one in look_backs)
    return look_backs


def standing_against(leads: list[Lead]) -> dict[str, list[Suppression]]:
    """Return the suppressions that stand, by phone and by e-mail, of lists in use only."""
    lists = set(RegistryList.objects.in_use().values_list("name", flat=True))
    found: dict[str, list[Suppression]] = defaultdict(list)
    for name in ("phone", "email_key"):
        values = {getattr(one, name) for one in leads} - {""}
        rows = Suppression.objects.active().exclude(**{name: ""})
        for entry in rows.filter(**{f"{name}__in": values}).select_related("created_by"):
            if not entry.list_name or entry.list_name in lists:
                found[getattr(entry, name)].append(entry)
    return found


def approved_of(
    business: Business | UUID | None, phones: Iterable[str], email_keys: Iterable[str]
) -> list[Lead]:
    """Return the approved leads of these persons, their rows locked, in order of their ids."""
    rows = Lead.objects.filter(compliance_status=Lead.Status.APPROVED)
    if business is None:
        # Named one by one, since the indexes on persons begin with the business.
        rows = rows.filter(business__in=list(Business.objects.values_list("id", flat=True)))
    else:
        rows = rows.filter(business=business)
    found: set[UUID] = set()
    for name, wanted in (("phone", phones), ("email_key", email_keys)):
        given = [one for one in wanted if one]
        if given:
            named = rows.exclude(**{name: ""}).filter(**{f"{name}__in": given})
            found.update(named.values_list("id", flat=True))
    if not found:
        return []
    # Read again: whoever had one of them locked may have blocked it.
    return list(rows.filter(id__in=found).select_for_update(no_key=True).order_by("id"))


def findings_of(lead: Lead, entries: list[Suppression], at: datetime) -> tuple[Finding, ...]:
    """Return what suppressions that match a lead have against its staying approved."""
    facts = Facts(
        arrived_on=at.date(),
        judged_at=at,
        has_phone=bool(lead.phone),
        entries=tuple(entries_of(entries, lead.phone)),
    )
    found = []
    for rule in (Rule.SUPPRESSED, Rule.ON_DNC_REGISTRY):
        kind = RULES[rule]
        told = kind.run(facts)
        if told is None:
            continue
        if rule == Rule.ON_DNC_REGISTRY and not is_held_by_registry(lead):
            continue
        found.append(
            Finding(rule, Mode.HOLD, told.sentence, told.field, told.evidence, kind.overrule)
        )
    return tuple(found)


def is_held_by_registry(lead: Lead) -> bool:
    """Say whether a do-not-call registry keeps this lead from being contacted."""
    if lead.source.modes[Rule.ON_DNC_REGISTRY] == Mode.FLAG:
        return False
    releases = [one for one in lead.reviews.all() if one.decision == Review.Decision.RELEASE]
    return not (releases and releases[-1].written_consent)
