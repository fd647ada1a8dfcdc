"""The filters and tags of the pages of the console."""

from django import template
from django.utils.safestring import SafeString

from leads import masks
from leads.models import Lead
from sources import looks

register = template.Library()

for look in (
    *(looks.marked, looks.weblink, looks.badge, looks.ago, looks.moment),
    *(looks.short, looks.thousands, looks.money),
):
    register.filter(look)


@register.filter
def who(lead: Lead) -> SafeString:
    """Return the masked person of a lead in one line."""
    return looks.marked(masks.who(lead))


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
