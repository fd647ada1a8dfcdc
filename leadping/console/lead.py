"""The page of one lead, for reading: its story, what was sent, the person masked until revealed."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from intake.models import Post
from intake.sent import Member, Unreadable, sent_and_kept
from leadping.console.judged import judged
from leadping.console.pages import View, needs, page
from leadping.console.story import NEWEST, made_by, story_of
from leads import masks, reveals
from leads.alike import alike
from leads.models import Disclosure, Lead
from leads.reviews import REVEAL_LASTS, NotDecided


def shown(request: HttpRequest, lead: Lead) -> HttpResponseBase:
    """Return the page of a lead, for who may see leads."""
    user: Any = request.user
    now = timezone.now()
    # Before it is answered: an undo names who was shown the lead.
    Disclosure(lead=lead, at=now, by=user, how=Disclosure.How.PAGE).save()
    is_revealed = reveals.is_revealed(user, now, lead=lead)
    last = lead.reviews.last()
    post, others = made_by(lead), alike(lead)
    members, trouble = sent_with(lead, post, user, is_revealed=is_revealed)
    return page(
        request,
        "lead.html",
        "Lead",
        lead=lead,
        tab="story",
        person=masks.person_of(lead, is_revealed=is_revealed),
        is_revealed=is_revealed,
        reveal_minutes=int(REVEAL_LASTS.total_seconds() // 60),
        findings=last.findings_after if last else lead.findings,
        story=story_of(lead, user, post, is_revealed=is_revealed),
        newest=NEWEST,
        post=post,
        members=members,
        members_trouble=trouble,
        alike=others,
        common={word for one in others for word in one.equal},
        tags=list(lead.tags.all()),
    )


def sent_with(
    lead: Lead, post: Post | None, user: Any, *, is_revealed: bool
) -> tuple[list[Member], str]:
    """Return what was sent beside what was kept; if it cannot be shown, why not."""
    if not user.has_perm("intake.view_post"):
        return [], ""
    if lead.erased_at:
        return [], "The lead is erased: what was sent is not shown."
    if post is None:
        return [], "The post that made this lead is not kept any more."
    try:
        return sent_and_kept(post, lead, is_revealed=is_revealed), ""
    except Unreadable as error:
        return [], str(error)


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
    ("<uuid:pk>/judged/", judged, "leads_lead_judged"),
]
