"""The review desk: one blocked lead at a time, why it is held, and what a reviewer makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.db import DatabaseError, transaction
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from intake.models import Post
from intake.trouble import despite_conflicts, is_time_up
from leadping.console.changes import worded
from leadping.console.evidence import told_evidence
from leadping.console.pages import View, needs, page
from leads import masks, reveals
from leads.alike import same_person
from leads.models import Claim, Disclosure, Lead, Suppression
from leads.reviews import (
    REVEAL_LASTS,
    UNDO_WITHIN,
    ClaimedByAnother,
    DeskTab,
    NotDecided,
    Review,
)
from leads.rulebook import TOLD
from sources.models import Source
from sources.rules import Mode, Rule

COUNTED_AT_MOST = 1000
RECENT_LEADS = 500
ALIKE_AT_MOST = 200
LOOKED_THROUGH = 500

REASONS = {
    "release": (
        "Consent checked: certificate and wording are in order",
        "The data are right: confirmed with the vendor",
        "Source and landing page reviewed",
    ),
    "reject": (
        "No valid consent",
        "The data are wrong or made up",
        "Outside what the business buys",
    ),
}
# The settings of a source that a rule judges by.
SETTINGS = {
    Rule.STATE_NOT_ALLOWED: ("allowed_states",),
    Rule.PRODUCT_NOT_ALLOWED: ("allowed_products",),
    Rule.VERTICAL_NOT_ALLOWED: ("allowed_verticals",),
    Rule.CONSENT_MISSING: ("is_trusted_form_required",),
    Rule.DUPLICATE: ("duplicate_window_days", "duplicate_scope"),
    Rule.OVER_CAP: ("daily_cap", "monthly_cap", "time_zone"),
}


# --- the queue ------------------------------------------------------------------------------------


def waiting_on(tab: str) -> QuerySet[Lead]:
    """Return the leads that wait on a tab, the oldest first."""
    # By the status too: processes with the code of before a migration set no tab.
    rows = Lead.objects.filter(desk_tab=tab, compliance_status=Lead.Status.BLOCKED, erased_at=None)
    return rows.order_by("received_at", "id")


def free_for(by: Any, tab: str, at: datetime) -> QuerySet[Lead]:
    """Return the leads of a tab that nobody else is deciding."""
    taken = list(Claim.objects.of_others(by, at).values_list("lead", flat=True))
    return waiting_on(tab).exclude(id__in=taken) if taken else waiting_on(tab)


def after(rows: QuerySet[Lead], lead: Lead) -> QuerySet[Lead]:
    """Keep what comes after a lead, by the range of the index."""
    later = Q(received_at__gt=lead.received_at) | Q(id__gt=lead.id)
    return rows.filter(later, received_at__gte=lead.received_at)


def before(rows: QuerySet[Lead], lead: Lead) -> QuerySet[Lead]:
    """Keep what comes before a lead, the nearest first."""
    earlier = Q(received_at__lt=lead.received_at) | Q(id__lt=lead.id)
    found = rows.filter(earlier, received_at__lte=lead.received_at)
    return found.order_by("-received_at", "-id")


def capped(rows: QuerySet[Any]) -> str:
    """Return how many rows there are, e.g. "12", or "999+"; in order, by an index."""
    count = rows[:COUNTED_AT_MOST].count()
    return str(count) if count < COUNTED_AT_MOST else f"{COUNTED_AT_MOST - 1}+"


def tabs(current: str) -> list[dict[str, Any]]:
    """Return the tabs of the desk with how much waits on each."""
    return [
        {
            "label": tab.label,
            "url": reverse("admin:desk_tab", args=[tab.value]),
            "count": capped(waiting_on(tab.value)),
            "is_current": tab.value == current,
        }
        for tab in DeskTab
    ]


@require_GET
@needs("leads.review_lead")
def desk(request: HttpRequest, tab: str = DeskTab.REVIEW.value) -> HttpResponseBase:
    """Lead to the oldest lead of a tab that nobody else is deciding; say so if there is none."""
    if tab not in DeskTab.values:
        raise Http404
    first = free_for(request.user, tab, timezone.now()).first()
    if first:
        return redirect("admin:desk_lead", first.id)
    return page(
        request,
        "desk_empty.html",
        "Review desk",
        tabs=tabs(tab),
        tab=DeskTab(tab),
        with_others=waiting_on(tab).exists(),
        last=last_decision(request.user),
    )


def last_decision(by: Any) -> Review | None:
    """Return the newest decision of a reviewer that can still be undone."""
    since = timezone.now() - UNDO_WITHIN
    decided = (Review.Decision.RELEASE, Review.Decision.REJECT)
    rows = Review.objects.filter(by=by, at__gt=since, decision__in=decided, undone_by=None)
    found: Review | None = rows.select_related("lead").order_by("-at").first()
    if found and found.lead.compliance_status == found.status_after:
        return found
    return None


# --- one lead -------------------------------------------------------------------------------------


@require_GET
@needs("leads.review_lead")
def desk_lead(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Show a lead for review, claimed by who looks at it if it waits and nobody else has it."""
    return shown(request, lead_of(pk))


def lead_of(pk: UUID) -> Lead:
    """Return a lead with what its page names; raises Http404."""
    rows = Lead.objects.select_related("source__vendor", "business")
    return get_object_or_404(rows, pk=pk)


def shown(
    request: HttpRequest,
    lead: Lead,
    trouble: str = "",
    status: int = 200,
    filled: Mapping[str, Any] | None = None,
    more_codes: Iterable[str] = (),
) -> HttpResponseBase:
    """Return the page of a lead; `trouble` is why a decision was not taken, `filled` its form.

    `more_codes`: of what stands now, as the trouble tells, besides the findings on the page.
    """
    now = timezone.now()
    user: Any = request.user
    is_open = lead.compliance_status == Lead.Status.BLOCKED and lead.erased_at is None
    claim = Claim.objects.take(lead.id, user, now) if is_open else None
    # Before it is answered: an undo or a look-back names who was shown the lead.
    Disclosure(lead=lead, at=now, by=user, how=Disclosure.How.PAGE).save()
    reviews = list(lead.reviews.select_related("by"))
    findings = reviews[-1].findings_after if reviews else lead.findings
    version = reviews[-1].rules_version_after if reviews else lead.rules_version
    is_revealed = reveals.is_revealed(user, now, lead=lead)
    tab = lead.desk_tab or DeskTab.REVIEW.value
    free = free_for(user, tab, now)
    next_lead, previous = after(free, lead).first(), before(free, lead).first()
    return page(
        request,
        "desk_lead.html",
        "Review desk",
        status=status,
        lead=lead,
        tab=DeskTab(tab),
        tabs=tabs(tab),
        is_open=is_open,
        is_mine=claim is not None and claim.by_id == user.pk,
        claim=claim,
        position=position_of(lead, tab),
        next=next_lead,
        previous=previous,
        reasons=reasons_against(lead, findings, version),
        needs_consent=any(
            one["code"] == Rule.ON_DNC_REGISTRY and one["mode"] != Mode.FLAG for one in findings
        ),
        person=masks.person_of(lead, is_revealed=is_revealed),
        is_revealed=is_revealed,
        reveal_minutes=int(REVEAL_LASTS.total_seconds() // 60),
        hours_left=hours_until(lead.consent_expires_at, now),
        record=record_of(lead.source),
        same_person=same_person(lead),
        suppressions=suppressions_of(lead),
        posts=list(Post.objects.filter(lead=lead).order_by("received_at")[:5]),
        reviews=reviews,
        alike=len(alike(lead, findings)) if is_open and not trouble else 0,
        last=last_decision(user),
        trouble=trouble,
        filled=filled or {},
        codes=list(dict.fromkeys([*standing_codes(findings), *more_codes])),
        suggestions=REASONS,
    )


def position_of(lead: Lead, tab: str) -> str:
    """Return which lead of its tab this is, e.g. "3", or "999+"."""
    count = before(waiting_on(tab), lead)[:COUNTED_AT_MOST].count() + 1
    return str(count) if count < COUNTED_AT_MOST else f"{COUNTED_AT_MOST - 1}+"


@dataclass(frozen=True, slots=True)
class Against:
    """One finding as a reviewer reads it: the rule as it was then, and as it is now.

    `evidence` are pairs of label and value, with a URL where there is a page; `settings` are the
    settings that the rule judged by: name, value then, value now.
    """

    code: str
    sentence: str
    mode: str
    overrule: str
    blocks: str
    mode_now: str
    evidence: list[tuple[str, str, str]]
    settings: list[tuple[str, str, str]]

    @property
    def is_standing(self) -> bool:
        return self.mode != Mode.FLAG


def reasons_against(lead: Lead, findings: list[dict[str, Any]], version: str) -> list[Against]:
    """Return the findings against a lead, those that hold it first."""
    then = Source.objects.of_version(version.partition("/")[2])
    told = []
    for one in findings:
        rule = Rule(one["code"])
        told.append(
            Against(
                code=one["code"],
                sentence=one["sentence"],
                mode=one["mode"],
                overrule=one.get("overrule", "yes"),
                blocks=TOLD[rule].blocks.replace("`", ""),
                mode_now=lead.source.modes[rule].value,
                evidence=told_evidence(one.get("evidence", {})),
                settings=[
                    (
                        Source._meta.get_field(name).verbose_name.capitalize(),  # type: ignore[union-attr]
                        worded(getattr(then, name)) if then else "not on record",
                        worded(getattr(lead.source, name)),
                    )
                    for name in SETTINGS.get(rule, ())
                ],
            )
        )
    return sorted(told, key=lambda one: not one.is_standing)


def hours_until(at: datetime | None, now: datetime) -> float | None:
    """Return how many hours are left until a moment, negative once it is over."""
    return None if at is None else round((at - now) / timedelta(hours=1), 1)


def record_of(source: Source) -> dict[str, Any]:
    """Return what became of a source's newest leads: how many, and the share of each status."""
    rows = source.leads.filter(is_test=False).order_by("-received_at")
    statuses = list(rows.values_list("compliance_status", flat=True)[:RECENT_LEADS])
    shares = [
        (status.label, status.value, statuses.count(status), statuses.count(status) / len(statuses))
        for status in Lead.Status
        if statuses
    ]
    return {"leads": len(statuses), "shares": shares}


def suppressions_of(lead: Lead) -> list[Suppression]:
    """Return what stands or stood against the person, for this business or for everyone."""
    if not lead.phone and not lead.email_key:
        return []
    rows = Suppression.objects.naming(lead.phone, lead.email_key).in_force_for(lead.business_id)
    return list(rows.select_related("released_by").order_by("released_at", "-id")[:20])


# --- what a reviewer does -------------------------------------------------------------------------


@require_POST
@needs("leads.review_lead")
def release(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Let a lead be contacted, and go on to the next one."""
    consent = request.POST.get("written_consent", "")

    def decide(lead: Lead, note: str, reason: str) -> Review:
        codes = request.POST.getlist("shown")
        return lead.release(request.user, note, reason, written_consent=consent, shown=codes)

    return decided(request, lead_of(pk), decide)


@require_POST
@needs("leads.review_lead")
def reject(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Confirm that a lead may not be contacted, and go on to the next one."""
    return decided(
        request, lead_of(pk), lambda lead, note, reason: lead.reject(request.user, note, reason)
    )


def decided(
    request: HttpRequest, lead: Lead, decide: Callable[[Lead, str, str], Review]
) -> HttpResponseBase:
    """Carry a decision out, if nobody else is deciding; what cannot be is told, and kept typed."""
    note, reason = request.POST.get("note", ""), request.POST.get("reason", "")
    filled, codes = request.POST.dict(), request.POST.getlist("shown")
    tab = lead.desk_tab or DeskTab.REVIEW.value
    try:
        under_claim(request.user, lead, lambda: decide(lead, note, reason))
    except NotDecided as error:
        codes += getattr(error, "codes", [])
        return shown(request, lead_of(lead.pk), str(error), 409, filled, codes)
    except DatabaseError as error:
        if not is_time_up(error):
            raise
        told = "Somebody else is at this person just now: nothing was decided. Try again."
        return shown(request, lead_of(lead.pk), told, 503, filled, codes)
    return redirect(next_after(request.user, tab, lead))


def under_claim(by: Any, lead: Lead, decide: Callable[[], Review]) -> Review:
    """Decide with the lead claimed, and give it back; raises a NotDecided."""

    def attempt() -> Review:
        with transaction.atomic():
            claim = Claim.objects.take(lead.id, by, timezone.now())
            if claim.by_id != by.pk:
                raise ClaimedByAnother(f"It is {claim.by}, until {claim.until:%H:%M:%S} UTC.")
            review = decide()
            claim.delete()
        return review

    return despite_conflicts(attempt)


def next_after(by: Any, tab: str, lead: Lead) -> str:
    """Return the URL of the next lead of a tab after one, the first again after the last."""
    free = free_for(by, tab, timezone.now())
    following = after(free, lead).first() or free.exclude(id=lead.id).first()
    if following:
        return reverse("admin:desk_lead", args=[following.id])
    return reverse("admin:desk_tab", args=[tab])


@require_POST
@needs("leads.review_lead")
def undo(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Take one's last decision on a lead back, within ten minutes, and show it again."""
    lead = lead_of(pk)
    try:
        lead.undo(request.user)
    except NotDecided as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "Taken back: the lead waits again.")
    return redirect("admin:desk_lead", pk)


@require_POST
@needs("leads.review_lead")
def take_over(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Claim a lead that somebody else is deciding: their decision is refused from now on."""
    lead = lead_of(pk)
    rows = Claim.objects.filter(lead=lead)
    rows.update(by=request.user)
    Claim.objects.take(lead.id, request.user, timezone.now())
    return redirect("admin:desk_lead", pk)


@require_POST
@needs("leads.review_lead", "leads.reveal_lead")
def reveal(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Write down who is shown the person and why, then show it for some minutes."""
    lead = lead_of(pk)
    try:
        reveals.reveal(request.user, request.POST.get("reason", ""), lead=lead)
    except NotDecided as error:
        messages.error(request, str(error))
    return redirect("admin:desk_lead", pk)


# --- alike leads, together ------------------------------------------------------------------------


def alike(lead: Lead, findings: list[dict[str, Any]]) -> list[UUID]:
    """Return other leads of the source and tab that the very same rules hold, the oldest first."""
    codes = standing_codes(findings)
    rows = waiting_on(lead.desk_tab or "").filter(source=lead.source_id).exclude(id=lead.id)
    rows = rows.filter(reviews=None)  # what was decided before has findings of its own
    found = rows.values_list("id", "findings")[:LOOKED_THROUGH]
    return [pk for pk, kept in found if standing_codes(kept) == codes][: ALIKE_AT_MOST - 1]


def standing_codes(findings: list[dict[str, Any]]) -> list[str]:
    """Return the codes of what holds a lead."""
    return [one["code"] for one in findings if one["mode"] != Mode.FLAG]


@needs("leads.review_lead")
def desk_alike(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Show the leads that are held for the same reasons, and decide on all of them together.

    Only on those that were shown, and only once their number has been typed.
    """
    lead = lead_of(pk)
    reviews = lead.reviews.last()
    findings = reviews.findings_after if reviews else lead.findings
    trouble = ""
    if request.method == "POST":
        try:
            wanted = [UUID(one) for one in request.POST.getlist("lead")][:ALIKE_AT_MOST]
        except ValueError:
            raise BadRequest("These are no ids of leads.") from None
        trouble = together(request, wanted)
        if not trouble:
            return redirect("admin:desk")
    ids = [lead.id, *alike(lead, findings)] if lead.desk_tab else []
    leads = Lead.objects.filter(id__in=ids).select_related("source").order_by("received_at", "id")
    return page(
        request,
        "desk_alike.html",
        "Alike leads",
        status=409 if trouble else 200,
        trail=[("Review desk", reverse("admin:desk"))],
        lead=lead,
        leads=list(leads),
        codes=standing_codes(findings),
        trouble=trouble,
        filled=request.POST.dict(),
        suggestions=REASONS,
    )


def together(request: HttpRequest, wanted: list[UUID]) -> str:
    """Decide on leads one by one, each on record; return why nothing was done, "" if it was."""
    post = request.POST
    if post.get("decision") not in REASONS:
        return "Choose whether to release or to reject them."
    if post.get("count", "").strip() != str(len(wanted)):
        return f"Type the number of leads to confirm: {len(wanted)}."
    done, refused = 0, ""
    for one in Lead.objects.filter(id__in=wanted).select_related("source").order_by("received_at"):
        note, reason = post.get("note", ""), post.get("reason", "")
        if post["decision"] == "release":
            codes = post.getlist("shown")
            decide = partial(one.release, request.user, note, reason, shown=codes)
        else:
            decide = partial(one.reject, request.user, note, reason)
        try:
            under_claim(request.user, one, decide)
            done += 1
        except NotDecided as error:
            refused = str(error)
    if not done and refused:
        return refused
    word = "released" if post["decision"] == "release" else "rejected"
    messages.success(request, f"{done} leads {word}.")
    if len(wanted) > done:
        messages.warning(request, f"{len(wanted) - done} were left as they are. {refused}")
    return ""


PAGES: list[tuple[str, View, str]] = [
    ("desk/", desk, "desk"),
    ("desk/lead/<uuid:pk>/", desk_lead, "desk_lead"),
    ("desk/lead/<uuid:pk>/release/", release, "desk_release"),
    ("desk/lead/<uuid:pk>/reject/", reject, "desk_reject"),
    ("desk/lead/<uuid:pk>/undo/", undo, "desk_undo"),
    ("desk/lead/<uuid:pk>/take-over/", take_over, "desk_take_over"),
    ("desk/lead/<uuid:pk>/reveal/", reveal, "desk_reveal"),
    ("desk/lead/<uuid:pk>/alike/", desk_alike, "desk_alike"),
    ("desk/<slug:tab>/", desk, "desk_tab"),
]
