"""What is done later with leads and suppressions."""

from datetime import timedelta

from django.utils import timezone

from leadping.jobs.tasks import Outcome, Turn, task
from leads import importing
from leads.models import SuppressionImport


@task(importing.TASK, is_atomic=False)
def import_suppressions(turn: Turn, import_id: str) -> Outcome:
    """Go on with an import."""
    return importing.work(SuppressionImport.objects.get(id=import_id), turn)


@task("forget-leftovers-of-imports", every=timedelta(days=1))
def forget_leftovers_of_imports(turn: Turn) -> Outcome:
    """Delete what is kept of the files of imports that are long over."""
    is_more = importing.forget_leftovers(timezone.now())
    return Outcome.AGAIN if is_more else Outcome.DONE
