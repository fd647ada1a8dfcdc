"""Staff look at posts, without the body, which holds personal data, and at what is only counted."""

from django.contrib import admin

from intake.models import Post, RefusalCount, Replay
from leads.admin import RecordAdmin


@admin.register(Post)
class PostAdmin(RecordAdmin):
    list_display = ["id", "received_at", "source", "status", "outcome", "took_us"]
    list_filter = ["source"]  # one by status would read the whole table to list them
    list_select_related = ["source"]
    search_fields = ["=id", "=request_id"]
    fields = [
        *("id", "received_at", "source", "key", "request_id", "method", "path"),
        *("status", "outcome", "answer", "findings", "rules_version", "notes", "lead", "body_size"),
        *("has_credential_blanked", "took_us"),
    ]


@admin.register(Replay)
class ReplayAdmin(RecordAdmin):
    list_display = ["at", "post_id", "outcome_before", "outcome_after", "by", "reason"]
    ordering = ["-at"]
    list_select_related = ["by"]
    search_fields = ["=post_id", "=lead__id"]
    fields = [
        *("at", "post_id", "post_received_at", "outcome_before", "outcome_after", "lead"),
        *("by", "reason"),
    ]


@admin.register(RefusalCount)
class RefusalCountAdmin(RecordAdmin):
    list_display = ["minute", "code", "source", "address", "count"]
    list_select_related = ["source"]
    fields = ["minute", "code", "source", "address", "count"]
