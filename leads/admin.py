"""Staff look at what happened: read-only, and nothing of the person but what staff wrote."""

from functools import cached_property
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.utils import timezone

from leads.models import Disclosure, Lead, RegistryList, Review, Suppression

COUNTED_AT_MOST = 10_000


class CappedPaginator(Paginator):
    """Pages that stop counting at 10,000 rows: counting millions costs more than showing them."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows[:COUNTED_AT_MOST].count())


class RecordAdmin(admin.ModelAdmin):
    """What happened, for reading: nobody adds, changes or deletes it."""

    paginator = CappedPaginator
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Lead)
class LeadAdmin(RecordAdmin):
    list_display = ["id", "received_at", "source", "compliance_status", "state", "product", "price"]
    list_filter = ["compliance_status", "source"]
    list_select_related = ["source"]
    search_fields = ["=id", "=external_id"]
    fields = [
        *("id", "received_at", "source", "is_test", "external_id", "idempotency_key"),
        *("deleted_at", "erased_at"),
        *("compliance_status", "compliance_blocked_reason", "found", "rules_version"),
        *("state", "product", "vertical", "price", "sub_id", "utm_source", "utm_campaign"),
    ]
    readonly_fields = ["found"]

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        response = super().change_view(request, object_id, *args, **kwargs)
        if lead := getattr(response, "context_data", {}).get("original"):
            # Before it is answered: an undo names who was shown the lead.
            Disclosure(lead=lead, at=timezone.now(), by_id=request.user.pk, how="page").save()
        return response

    @admin.display(description="findings")
    def found(self, lead: Lead) -> str:
        """Return the findings without their evidence, which may be personal."""
        lines = [f"{one['code']} ({one['mode']}): {one['sentence']}" for one in lead.findings]
        return "\n".join(lines) or "none"


@admin.register(Suppression)
class SuppressionAdmin(RecordAdmin):
    list_display = ["suppressed_at", "kind", "channel", "business", "released_at"]
    ordering = ["-id"]  # by when they were made, which no other index has
    list_filter = ["kind", "channel", "business"]
    list_select_related = ["business"]
    search_fields = ["=id"]
    fields = [
        *("id", "kind", "channel", "business", "list_name", "listed_on"),
        *("suppressed_at", "reason", "provenance", "created_at", "created_by"),
        *("released_at", "released_by", "release_reason", "release_evidence"),
    ]


@admin.register(RegistryList)
class RegistryListAdmin(RecordAdmin):
    list_display = ["name", "listed_on", "loaded_at", "retired_at"]


@admin.register(Review)
class ReviewAdmin(RecordAdmin):
    list_display = ["at", "decision", "lead", "by", "reason"]
    ordering = ["-at"]
    list_filter = ["decision"]
    list_select_related = ["lead", "by"]
    search_fields = ["=lead__id"]
    fields = [
        *("at", "decision", "lead", "by", "reason", "note", "written_consent"),
        *("status_before", "status_after", "came_and_went"),
        *("rules_version_before", "rules_version_after", "undoes", "seen_by"),
    ]
    readonly_fields = ["came_and_went"]

    @admin.display(description="findings since the last judgement")
    def came_and_went(self, review: Review) -> str:
        """Return the codes that came, went and stayed."""
        changes = review.changes.items()
        return "; ".join(f"{what}: {', '.join(codes)}" for what, codes in changes if codes)
