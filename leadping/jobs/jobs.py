"""The jobs about jobs: what is done and over is forgotten after a while."""

from datetime import timedelta

from django.db.models.functions import Now

from leadping.jobs.models import Job, Worker
from leadping.jobs.tasks import Turn, task
from leadping.jobs.worker import DEAD_AFTER

KEPT = timedelta(days=14)
AT_ONCE = 1000


@task("forget-finished-jobs", every=timedelta(hours=1))
def forget_finished_jobs(turn: Turn) -> None:
    """Delete jobs that were done two weeks ago, and heartbeats of workers that died."""
    old = Job.objects.finished().filter(finished_at__lt=Now() - KEPT)
    Job.objects.filter(id__in=list(old.values_list("id", flat=True)[:AT_ONCE])).delete()
    Worker.objects.filter(seen_at__lt=Now() - DEAD_AFTER * 30).delete()
