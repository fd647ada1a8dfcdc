"""Staff look at leads: read-only, and without personal data until it can be masked and revealed."""

from functools import cached_property
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.http import HttpRequest

from leads.models import Lead

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

    @admin.display(description="findings")
    def found(self, lead: Lead) -> str:
        """Return the findings without their evidence, which may be personal."""
        lines = [f"{one['code']} ({one['mode']}): {one['sentence']}" for one in lead.findings]
        return "\n".join(lines) or "none"
