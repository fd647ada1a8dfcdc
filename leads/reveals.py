"""The door to a person's data in the console: for a while, for one who gave a reason, on record."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from leads.models import Disclosure, Lead
from leads.reviews import REVEAL_LASTS, LeadIsErased, reason_of


def is_revealed(
    by: Any, at: datetime, *, lead: Lead | None = None, post_id: UUID | None = None
) -> bool:
    """Say whether `by` may, and has revealed this lead or this post within the last minutes."""
    if not by.has_perm("leads.reveal_lead") or (lead and lead.erased_at):
        return False
    of = Q(post_id=post_id) if post_id else Q(lead=lead)
    rows = Disclosure.objects.filter(of, by=by, how=Disclosure.How.REVEAL)
    return bool(rows.filter(at__gt=at - REVEAL_LASTS).exists())


def reveal(
    by: Any, reason: str, *, lead: Lead | None = None, post_id: UUID | None = None
) -> Disclosure:
    """Write that `by` is shown the person of a lead or post, and why.

    Whoever shows it has this row first: what cannot be written down is not shown. Raises NoReason,
    UnfitText or LeadIsErased.
    """
    if lead and lead.erased_at:
        raise LeadIsErased
    row = Disclosure(
        lead=lead,
        post_id=post_id,
        at=timezone.now(),
        by=by,
        how=Disclosure.How.REVEAL,
        reason=reason_of(reason),
    )
    row.save()
    return row
