"""Staff manage businesses, vendors, tags and keys; sources, in the console (leadping/console/)."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ORDER_VAR
from django.core.exceptions import BadRequest, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from sources.models import Business, SourceKey, Tag, Vendor


class ListAdmin(admin.ModelAdmin):
    """A list that costs what its page costs, whatever the URL says, and tells bad ids."""

    show_facets = admin.ShowFacets.NEVER  # each would count whole tables

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if ORDER_VAR in request.GET and self.sortable_by == ():
            # Django hides the links and obeys the URL; but no index has another order.
            query = request.GET.copy()
            del query[ORDER_VAR]
            request.GET = query  # type: ignore[assignment]
        for one in request.POST.getlist(ACTION_CHECKBOX_NAME):
            try:
                self.opts.pk.to_python(one)
            except ValidationError:
                raise BadRequest("This is no id of a row.") from None
        return super().changelist_view(request, extra_context)


class KeptAdmin(ListAdmin):
    """What leads and posts name for ever: nobody deletes it."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Business, Vendor)
class NamedAdmin(KeptAdmin):
    list_display = ["name", "id", "created_at"]
    search_fields = ["name"]
    readonly_fields = ["id", "created_at"]


@admin.register(Tag)
class TagAdmin(KeptAdmin):
    list_display = ["name", "business", "id"]
    list_select_related = ["business"]
    search_fields = ["name"]


@admin.register(SourceKey)
class SourceKeyAdmin(KeptAdmin):
    list_display = ["preview", "source", "label", "created_at", "expires_at", "revoked_at"]
    list_select_related = ["source"]
    list_filter = ["is_test", "source"]
    readonly_fields = [
        *("preview", "source", "is_test", "created_at", "created_by"),
        *("expires_at", "revoked_at", "revoked_by", "last_used_at"),
    ]
    fields = ["label", *readonly_fields]
    actions = ["revoke"]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup in ("is_test__exact", "source__id__exact")  # nothing of the digest

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # a key is made on the page of its source, where it is shown once

    @admin.action(description="Revoke, with effect at once", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[SourceKey]) -> None:
        now = timezone.now()
        done = 0
        for key in queryset.live(now):  # type: ignore[attr-defined]
            key.revoke(now, by=request.user)
            self.log_change(request, key, "Revoked.")
            done += 1
        self.message_user(
            request,
            f"{done} revoked, {queryset.count() - done} had ended before.",
            messages.SUCCESS,
        )
