"""How what may not be contacted looks: persons masked, kinds, days left, lists that are fresh."""

from datetime import date
from typing import Any
from uuid import UUID

from django import template
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from leads import masks
from leads.compliance import REGISTRY_MAX_AGE_DAYS
from leads.models import RegistryList, Review, Suppression, SuppressionImport
from sources.looks import badge, marked

register = template.Library()

# Within so many days a look-back, or the end of a list, is near.
SOON_DAYS = 3
SOON_DAYS_OF_LIST = 7
KINDS = {
    Suppression.Kind.OPT_OUT: "bad",
    Suppression.Kind.REVOCATION: "bad",
    Suppression.Kind.LITIGATOR: "bad",
    Suppression.Kind.COMPLAINT: "wait",
}
DECISIONS = {
    Review.Decision.RELEASE: "good",
    Review.Decision.REJECT: "bad",
    Review.Decision.SUPPRESS: "wait",
    Review.Decision.CHANGE: "wait",
}
State = SuppressionImport.State
STATES = {State.DONE: "good", State.FAILED: "bad", State.CANCELLED: "wait", State.LOADING: "plain"}


@register.filter
def person(entry: Suppression) -> SafeString:
    """Return whom a suppression names, masked."""
    told = (masks.phone(entry.phone), masks.email(entry.email_key))
    return marked(" · ".join(filter(None, told)))


@register.filter
def kind(one: Any) -> SafeString:
    """Return the kind of a suppression, or of what an import makes, in a badge."""
    return badge(one.get_kind_display(), KINDS.get(one.kind, "plain"))


@register.filter
def decision(review: Review) -> SafeString:
    """Return what was decided on a lead in a badge."""
    return badge(review.get_decision_display(), DECISIONS.get(Review.Decision(review.decision), ""))


@register.filter
def state(one: SuppressionImport) -> SafeString:
    """Return how an import stands in a badge."""
    return badge(one.get_state_display(), STATES.get(State(one.state), "calm"))


@register.filter
def standing(entry: Suppression) -> SafeString:
    """Return whether a suppression stands in a badge."""
    return badge("Ended", "plain") if entry.released_at else badge("Stands", "calm")


@register.filter
def days_left(day: date) -> SafeString:
    """Return how many days there are to act, red once the day is over."""
    left = (day - timezone.localdate()).days
    if left < 0:
        return badge(f"Overdue by {days(-left)}", "bad")
    if left == 0:
        return badge("Today", "bad")
    return badge(f"{days(left)} left", "wait" if left <= SOON_DAYS else "plain")


@register.filter
def freshness(edition: RegistryList | None) -> SafeString:
    """Return how much longer leads may be checked against an edition of a list, in a badge.

    The day is that of UTC, as in the rule.
    """
    if edition is None or edition.retired_at:
        return badge("Not in use", "plain")
    age = (timezone.now().date() - edition.listed_on).days
    left = REGISTRY_MAX_AGE_DAYS - age
    if left < 0:
        return badge(f"Too old by {days(-left)}", "bad")
    text = f"Fresh, {days(left)} left" if left else "Fresh until today"
    return badge(text, "wait" if left <= SOON_DAYS_OF_LIST else "good")


def days(number: int) -> str:
    """Return a number of days in words."""
    return f"{number} day{'' if number == 1 else 's'}"


@register.filter
def meter(one: SuppressionImport) -> SafeString:
    """Return how far an import is as a meter, with the numbers beside it."""
    if one.state in (State.LOADING, State.READING) or not one.rows_staged:
        return format_html('<span class="number nowrap">{} rows read</span>', f"{one.rows_read:,}")
    share = one.rows_done / one.rows_staged
    return format_html(
        '<progress class="meter progress" value="{}" max="{}" aria-label="Progress"></progress>'
        '<span class="number nowrap">{}</span>',
        one.rows_done,
        one.rows_staged,
        f"{one.rows_done:,} of {one.rows_staged:,} ({share:.0%})",
    )


@register.filter
def by(user: Any) -> SafeString:
    """Return who did something: nobody of the console is somebody on the shell."""
    return marked(user) if user else mark_safe('<span class="quiet">the command line</span>')


@register.simple_tag(takes_context=True)
def provenance(context: dict[str, Any], entry: Suppression) -> SafeString:
    """Return where a suppression was made: a link, if by an import that the user may see."""
    word, _, key = entry.provenance.partition(" ")
    may_see = context["request"].user.has_perm("leads.view_suppressionimport")
    if word != "import" or not may_see:
        return marked(entry.provenance or "not said")
    try:
        url = reverse("admin:leads_suppressionimport_change", args=[UUID(key)])
    except ValueError:
        return marked(entry.provenance)
    return format_html('<a href="{}">{}</a>', url, marked(entry.provenance))
