"""The page of one lead, for reading: what is known of it, the person masked until revealed."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from leadping.console.pages import View, needs, page
from leads import masks, reveals
from leads.models import Disclosure, Lead
from leads.reviews import REVEAL_LASTS, NotDecided


def shown(request: HttpRequest, lead: Lead) -> HttpResponseBase:
    """Return the page of a lead, for who may see leads."""
    # Before it is answered: an undo names who was shown the lead.
    Disclosure(lead=lead, at=timezone.now(), by_id=request.user.pk, how="page").save()
    is_revealed = reveals.is_revealed(request.user, timezone.now(), lead=lead)
    reviews = list(lead.reviews.select_related("by"))
    return page(
        request,
        "lead.html",
        "Lead",
        lead=lead,
        person=masks.person_of(lead, is_revealed=is_revealed),
        is_revealed=is_revealed,
        reveal_minutes=int(REVEAL_LASTS.total_seconds() // 60),
        findings=reviews[-1].findings_after if reviews else lead.findings,
        reviews=reviews,
        posts=list(lead.posts.order_by("received_at")[:20]),
        look_backs=list(lead.look_backs.select_related("suppression")),
        tags=list(lead.tags.all()),
    )


@require_POST
@needs("leads.view_lead", "leads.reveal_lead")
def reveal(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Write down who is shown the person and why, then show it for some minutes."""
    lead = get_object_or_404(Lead, pk=pk)
    try:
        reveals.reveal(request.user, request.POST.get("reason", ""), lead=lead)
    except NotDecided as error:
        messages.error(request, str(error))
    return redirect("admin:leads_lead_change", pk)


# Below the list of leads: route, view, name.
PAGES: list[tuple[str, View, str]] = [
    ("<uuid:pk>/reveal/", reveal, "leads_lead_reveal"),
]
