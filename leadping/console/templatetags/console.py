"""The filters and tags of the pages of the console."""

from typing import Any

from django import template
from django.utils.safestring import SafeString

from leads import masks
from leads.models import Lead
from sources import looks

register = template.Library()

for look in (
    *(looks.marked, looks.weblink, looks.badge, looks.ago, looks.moment, looks.lasting),
    *(looks.short, looks.thousands, looks.money),
):
    register.filter(look)


@register.simple_tag(takes_context=True)
def address_with(context: dict[str, Any], **changes: Any) -> str:
    """Return the query of this page with these parameters changed; None takes one away."""
    query = context["request"].GET.copy()
    for name, value in changes.items():
        query.pop(name, None)
        if value is not None:
            query[name] = str(value)
    return f"?{query.urlencode()}"


@register.filter
def who(lead: Lead) -> SafeString:
    """Return the masked person of a lead in one line."""
    return looks.marked(masks.who(lead))
