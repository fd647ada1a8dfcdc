"""What is done later with leads and suppressions."""

from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from leadping.jobs.tasks import Outcome, Turn, task
from leads import exporting, importing, scheduling
from leads.counts import count_again
from leads.models import Export, Lead, SuppressionImport
from leads.normalize import name_key
from leads.reviews import found_in

# A minute or so of trying: somebody waits for the file.
EXPORT_ATTEMPTS = 5
DESK_DAYS = timedelta(days=3)
DESK_AT_ONCE = 1000
FILED_WITHIN = timedelta(hours=3)


@task(importing.TASK, is_atomic=False)
def import_suppressions(turn: Turn, import_id: str) -> Outcome:
    """Go on with an import."""
    return importing.work(SuppressionImport.objects.get(id=import_id), turn)


@task("forget-leftovers-of-imports", every=timedelta(days=1))
def forget_leftovers_of_imports(turn: Turn) -> Outcome:
    """Delete what is kept of the files of imports that are long over."""
    is_more = importing.forget_leftovers(timezone.now())
    return Outcome.AGAIN if is_more else Outcome.DONE


@task(
    exporting.TASK,
    is_atomic=False,
    max_attempts=EXPORT_ATTEMPTS,
    given_up=exporting.give_up,
)
def export(turn: Turn, export_id: str) -> Outcome:
    """Go on with an export."""
    return exporting.work(Export.objects.select_related("by").get(id=export_id), turn)


@task("start-scheduled-exports", every=timedelta(minutes=1))
def start_scheduled_exports(turn: Turn) -> None:
    """Ask for the exports that are due."""
    scheduling.start_due(timezone.now())


@task(exporting.FORGET_TASK, is_atomic=False, every=timedelta(minutes=10))
def forget_files_of_exports(turn: Turn) -> Outcome:
    """Delete the files of exports that are over their time."""
    return exporting.forget_files(turn, timezone.now())


@task("put-on-desk", every=timedelta(minutes=10))
def put_on_desk(turn: Turn) -> None:
    """Give newly blocked leads without a tab of the review desk theirs, and take old tabs away.

    Processes that run on with the code of before a migration know no tabs. Those of the last days,
    found by the index of time and status.
    """
    since = timezone.now() - DESK_DAYS
    recent = Lead.objects.filter(received_at__gte=since, is_test=False, erased_at=None)
    lost = recent.filter(compliance_status=Lead.Status.BLOCKED, desk_tab=None)
    for lead in lost.prefetch_related("reviews")[:DESK_AT_ONCE]:
        lead.file_under(standing_findings(lead))
        Lead.objects.filter(id=lead.id, compliance_status=Lead.Status.BLOCKED).update(
            desk_tab=lead.desk_tab, found=lead.found
        )
        count_again([(lead.source_id, lead.received_at)])
    over = Lead.objects.filter(desk_tab__isnull=False)
    over.exclude(compliance_status=Lead.Status.BLOCKED).update(desk_tab=None)


def standing_findings(lead: Lead) -> list[dict[str, Any]]:
    """Return what was found when a lead, its reviews fetched, was judged last."""
    reviews = list(lead.reviews.all())  # in order
    found: list[dict[str, Any]] = reviews[-1].findings_after if reviews else lead.findings
    return found


@task("file-leads", every=timedelta(minutes=10))
def file_leads(turn: Turn) -> None:
    """Set by what new leads are searched, where processes with the code of before did not.

    Those of the last hours, found by the index of time.
    """
    recent = Lead.objects.filter(received_at__gte=timezone.now() - FILED_WITHIN, erased_at=None)
    named = ~Q(first_name="", last_name="")
    for lead in recent.filter(named, name_key="")[:DESK_AT_ONCE]:
        key = name_key(lead.last_name, lead.first_name)
        Lead.objects.filter(id=lead.id, erased_at=None).update(name_key=key)
    lost = recent.filter(found="").exclude(findings=[])
    for lead in lost.prefetch_related("reviews")[:DESK_AT_ONCE]:
        found = found_in(standing_findings(lead))
        Lead.objects.filter(id=lead.id, found="").update(found=found)
        count_again([(lead.source_id, lead.received_at)])
