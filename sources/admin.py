"""Staff manage businesses, vendors, sources, tags and keys."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from sources.models import Business, Source, SourceKey, SourceRule, Tag, Vendor


@admin.register(Business, Vendor)
class NamedAdmin(admin.ModelAdmin):
    list_display = ["name", "id", "created_at"]
    search_fields = ["name"]
    readonly_fields = ["id", "created_at"]


@admin.register(Tag)
class TagAdmin(admin.ModelAdmin):
    list_display = ["name", "business", "id"]
    list_select_related = ["business"]
    search_fields = ["name"]


class SourceRuleInline(admin.TabularInline):
    model = SourceRule
    extra = 0
    verbose_name = "rule mode"
    verbose_name_plural = "rule modes that differ from the default (hold; state-mismatch: flag)"


class SourceKeyInline(admin.TabularInline):
    """The keys of a source, for reading; manage.py makes them, for they are shown only once."""

    model = SourceKey
    extra = 0
    can_delete = False
    readonly_fields = [*("preview", "label", "is_test", "created_at", "expires_at", "revoked_at")]
    fields = [*readonly_fields]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Source)
class SourceAdmin(admin.ModelAdmin):
    list_display = ["name", "business", "vendor", "is_enabled", "is_approved"]
    list_filter = ["is_enabled", "business"]
    list_select_related = ["business", "vendor"]
    search_fields = ["name", "=id"]
    readonly_fields = [
        *("id", "created_at", "version"),
        *("compliance_approved_at", "compliance_approved_by", "compliance_approval_note"),
    ]
    autocomplete_fields = ["business", "vendor"]
    filter_horizontal = ["default_tags"]
    inlines = [SourceRuleInline, SourceKeyInline]
    actions = ["approve"]
    fieldsets = [
        (None, {"fields": ["name", "business", "vendor", "owner", "is_enabled", "notes"]}),
        (
            "Compliance",
            {
                "fields": [
                    *("compliance_approved_at", "compliance_approved_by"),
                    "compliance_approval_note",
                    *("allowed_states", "allowed_products", "allowed_verticals"),
                    *("is_trusted_form_required", "is_sms_consent_covered"),
                ]
            },
        ),
        (
            "Duplicates, caps and rate",
            {
                "fields": [
                    *("duplicate_window_days", "duplicate_scope"),
                    *("daily_cap", "monthly_cap", "rate_per_minute"),
                    *("time_zone", "cost_per_lead"),
                ]
            },
        ),
        (
            "What its leads say",
            {
                "fields": [
                    *("default_product", "default_vertical", "default_tags"),
                    *("default_sender_number_id", "field_map"),
                    *("is_unknown_kept", "is_query_key_allowed"),
                ]
            },
        ),
        ("For the record", {"fields": ["id", "created_at", "version"]}),
    ]

    @admin.display(boolean=True, description="approved")
    def is_approved(self, source: Source) -> bool:
        return source.is_compliance_approved

    def has_approve_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("sources.approve_source")

    @admin.action(description="Approve for compliance", permissions=["approve"])
    def approve(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        done = 0
        for source in queryset.filter(compliance_approved_at=None):
            source.approve(request.user, "Approved in the console.", timezone.now())
            self.log_change(request, source, "Approved for compliance.")
            done += 1
        skipped = queryset.count() - done
        self.message_user(
            request, f"{done} approved, {skipped} were approved before.", messages.SUCCESS
        )


@admin.register(SourceKey)
class SourceKeyAdmin(admin.ModelAdmin):
    list_display = ["preview", "source", "label", "created_at", "expires_at", "revoked_at"]
    list_select_related = ["source"]
    list_filter = ["is_test", "source"]
    readonly_fields = [
        *("preview", "source", "is_test", "created_at", "created_by"),
        *("expires_at", "revoked_at", "revoked_by", "last_used_at"),
    ]
    fields = ["label", *readonly_fields]
    actions = ["revoke"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

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
