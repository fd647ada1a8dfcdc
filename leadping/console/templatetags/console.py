"""The filters and tags of the pages of the console."""

from datetime import datetime

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from leads import masks
from leads.models import Export, Lead
from sources import looks

register = template.Library()

for look in (
    *(looks.marked, looks.weblink, looks.badge, looks.ago, looks.moment),
    *(looks.short, looks.thousands, looks.money, looks.percent),
):
    register.filter(look)


STATES = {
    Export.State.DONE: "good",
    Export.State.FAILED: "bad",
    Export.State.RUNNING: "calm",
    Export.State.WAITING: "wait",
}


@register.filter
def export_state(one: Export) -> SafeString:
    """Return how an export stands in a badge."""
    return looks.badge(one.get_state_display(), STATES.get(Export.State(one.state), "plain"))


@register.filter
def lasting(seconds: float) -> str:
    """Return a duration in its largest whole unit."""
    return looks.spell(seconds)


@register.filter
def who(lead: Lead) -> SafeString:
    """Return the masked person of a lead in one line."""
    return looks.marked(masks.who(lead))


@register.filter
def spelled(seconds: float) -> str:
    """Return a duration in its largest whole unit."""
    return looks.spell(seconds)


@register.filter
def reference(text: str, is_revealed: bool) -> SafeString:
    """Return a vendor's own id or word, masked if it may be a person's address or phone."""
    return looks.marked(text if is_revealed else masks.reference(text))


@register.filter
def state_of(lead: Lead) -> SafeString:
    """Return the state of a lead, if it is one."""
    return looks.marked(masks.state(lead.state))


@register.filter
def other_certificate(lead: Lead, is_revealed: bool) -> SafeString:
    """Return the URL that came in the place of a certificate's: it may name the person."""
    return looks.marked(lead.trusted_form_url if is_revealed else masks.site(lead.trusted_form_url))


@register.filter
def dated(moment: datetime | str | None) -> SafeString:
    """Return a moment, or one that is kept as text, with its year, in the console's zone."""
    if not moment:
        return mark_safe('<span class="quiet">never</span>')
    at = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    local = timezone.localtime(at)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        *(at.isoformat(), f"{local:%Y-%m-%d %H:%M:%S %Z}", f"{local:%b %-d, %Y, %H:%M}"),
    )
