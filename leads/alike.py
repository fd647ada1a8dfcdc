"""Other leads that may be of the same person: with the same phone, e-mail or certificate."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from leads.models import Lead

AT_MOST = 10
# What two leads may have in common, and how it is told.
PERSON = {"phone": "phone", "email_key": "e-mail"}
COMMON = PERSON | {"certificate_id": "certificate"}


@dataclass(frozen=True, slots=True)
class Alike:
    """Another lead, and what it has in common with the first: "phone", "e-mail", "certificate"."""

    lead: Lead
    equal: tuple[str, ...]


def alike(lead: Lead, by: Collection[str] = tuple(COMMON)) -> list[Alike]:
    """Return the newest other leads of the business that equal this one in a column of `by`."""
    found: dict[UUID, Lead] = {}
    for name in by:
        if value := getattr(lead, name):
            rows = Lead.objects.filter(business=lead.business_id, **{name: value})
            # "not empty" in the words of the index
            rows = rows.exclude(**{name: ""}).exclude(id=lead.id).select_related("source")
            found |= {one.id: one for one in rows.order_by("-received_at")[:AT_MOST]}
    newest = sorted(found.values(), key=lambda one: one.received_at, reverse=True)
    return [Alike(one, equal(lead, one)) for one in newest[:AT_MOST]]


def equal(lead: Lead, other: Lead) -> tuple[str, ...]:
    """Return what two leads have in common, in words."""
    return tuple(
        word
        for name, word in COMMON.items()
        if getattr(lead, name) and getattr(lead, name) == getattr(other, name)
    )


def same_person(lead: Lead) -> list[Lead]:
    """Return the newest other leads of the business with the same phone or e-mail."""
    return [one.lead for one in alike(lead, PERSON)]
