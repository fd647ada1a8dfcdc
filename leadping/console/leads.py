"""Analysts browse leads: the list of all, the person masked, and a page for each."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.urls import path
from django.utils import timezone
from django.utils.html import format_html

from leadping.console import lead as lead_page
from leads import masks
from leads.admin import RecordAdmin
from leads.filters import ChoiceFilter, PeriodFilter
from leads.models import Lead
from sources import looks
from sources.models import Source
from sources.rules import Mode, Rule


class LeadStatusFilter(ChoiceFilter):
    title = "status"
    parameter_name = "status"
    options = (*((one.value, one.label) for one in Lead.Status), ("held", "Blocked or rejected"))

    def narrow(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        if value == "held":
            return rows.filter(compliance_status__in=(Lead.Status.BLOCKED, Lead.Status.REJECTED))
        return rows.filter(compliance_status=value)


class HeldForFilter(ChoiceFilter):
    """By a rule that holds it; of a week, if no time is chosen: findings have no index."""

    title = "held for"
    parameter_name = "held_for"
    options = Rule.choices
    DAYS = 7

    def narrow(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        if not self.request.GET.get("from"):
            rows = rows.filter(received_at__gte=timezone.now() - timedelta(days=self.DAYS))
        # As the two databases write it; `as_row` and PostgreSQL put the two members first.
        kept = f'"code": "{value}", "mode": "hold"'
        findings = Cast("findings", TextField())
        found: QuerySet[Any] = rows.annotate(kept=findings).filter(kept__contains=kept)
        return found


class LeadTestFilter(ChoiceFilter):
    title = "tests"
    parameter_name = "tests"
    options = (("0", "without"), ("1", "only"))

    def narrow(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        return rows.filter(is_test=value == "1")


class LeadAdmin(RecordAdmin):
    """Every lead, the person masked; its page, on which whoever may reveals the person."""

    list_display = [
        "came",
        "person",
        "status",
        "why",
        "from_source",
        "state_",
        "product_",
        "price_",
    ]
    list_display_links = ["came"]
    list_filter = [LeadStatusFilter, "source", PeriodFilter, HeldForFilter, LeadTestFilter]
    list_select_related = ["source"]
    list_per_page = 50
    search_fields = ["=id", "=external_id"]
    search_help_text = "The id of a lead, or the vendor's own."
    ordering = ["-received_at", "-id"]

    def get_urls(self) -> list[Any]:
        pages = [
            path(route, self.admin_site.admin_view(view), name=name)
            for route, view, name in lead_page.PAGES
        ]
        return [*pages, *super().get_urls()]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return queryset.filter(id=UUID(term)), False
        except ValueError:
            # by the index on a source's external ids, source by source
            sources = list(Source.objects.values_list("id", flat=True))
            found = queryset.filter(source__in=sources, external_id=term)
            return found.exclude(external_id=""), False

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        lead = self.get_object(request, object_id)
        if lead is None or not self.has_view_permission(request, lead):
            return super().change_view(request, object_id, *args, **kwargs)  # which says so
        if request.method != "GET":
            raise PermissionDenied  # what happened is not changed
        return lead_page.shown(request, lead)

    @admin.display(description="received")
    def came(self, lead: Lead) -> str:
        return looks.moment(lead.received_at)

    @admin.display
    def person(self, lead: Lead) -> str:
        return looks.marked(masks.who(lead))

    @admin.display
    def status(self, lead: Lead) -> str:
        test = format_html(" {}", looks.badge("test")) if lead.is_test else ""
        return format_html("{}{}", looks.badge(lead.compliance_status), test)

    @admin.display(description="held for")
    def why(self, lead: Lead) -> str:
        standing = [one["code"] for one in lead.findings if one["mode"] != Mode.FLAG]
        return ", ".join(standing) or "-"

    @admin.display(description="source")
    def from_source(self, lead: Lead) -> str:
        return looks.marked(lead.source.name)

    @admin.display(description="state")
    def state_(self, lead: Lead) -> str:
        return looks.marked(masks.state(lead.state))

    @admin.display(description="price")
    def price_(self, lead: Lead) -> str:
        return "-" if lead.price is None else looks.money(lead.price)

    @admin.display(description="product")
    def product_(self, lead: Lead) -> str:
        return looks.marked(masks.reference(lead.product))
