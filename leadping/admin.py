"""Staff see the outbox and its workers, and have failed jobs tried again.

The pages of people and roles come with it, since this admin is loaded last.
"""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from leadping.console import people  # noqa: F401
from leadping.console.leads import LeadAdmin
from leadping.console.sources import SourceAdmin
from leadping.console.tokens import ApiTokenAdmin
from leadping.jobs.models import Job, Worker
from leads.admin import RecordAdmin
from leads.models import Lead
from sources.models import ApiToken, Source

# Here, and not where they are written: the site itself is made with those modules.
admin.site.register(Source, SourceAdmin)
admin.site.register(Lead, LeadAdmin)
admin.site.register(ApiToken, ApiTokenAdmin)


@admin.register(Job)
class JobAdmin(RecordAdmin):
    list_display = ["created_at", "kind", "state", "attempts", "finished_at", "error"]
    list_filter = ["state"]  # one by kind would read the whole table to list them
    search_fields = ["=id"]
    fields = [
        *("id", "kind", "payload", "state", "attempts", "error", "worker"),
        *("created_at", "due_at", "started_at", "finished_at"),
    ]
    actions = ["retry"]

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("jobs.retry_job")

    @admin.action(description="Try again", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        done = 0
        for job in queryset:
            if job.retry():
                self.log_change(request, job, "Tried again.")
                done += 1
        skipped = queryset.count() - done
        self.message_user(
            request, f"{done} are tried again, {skipped} had not failed.", messages.SUCCESS
        )


@admin.register(Worker)
class WorkerAdmin(RecordAdmin):
    list_display = ["name", "started_at", "seen_at", "done"]
    fields = ["name", "started_at", "seen_at", "done"]
