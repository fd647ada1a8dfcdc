"""Staff look at posts, without the body, which holds personal data, and at what is only counted."""

from django.contrib import admin

from intake.models import Post, RefusalCount
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


@admin.register(RefusalCount)
class RefusalCountAdmin(RecordAdmin):
    list_display = ["minute", "code", "source", "address", "count"]
    list_select_related = ["source"]
    fields = ["minute", "code", "source", "address", "count"]
