"""Show the outbox and its workers, try failed jobs again, or tell a probe how things stand."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Count
from django.db.models.functions import Now

from leadping.jobs.models import Job, Worker
from leadping.jobs.worker import DEAD_AFTER

SHOWN = 20


class Command(BaseCommand):
    help = "Show what waits in the outbox, what failed and which workers live."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--retry", metavar="ID", help="try this failed job again, or `all`")
        parser.add_argument(
            "--check",
            action="store_true",
            help="end with an error if no worker lives or a job has failed: for probes",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["retry"]:
            self.retry(options["retry"])
            return
        counts = dict(
            Job.objects.order_by().values_list("state").annotate(count=Count("id")).order_by()
        )
        told = [f"{counts.get(state, 0)} {state}" for state in Job.State.values]
        self.stdout.write(f"Jobs: {', '.join(told)}.")
        alive = Worker.objects.filter(seen_at__gt=Now() - DEAD_AFTER)
        for worker in alive:
            self.stdout.write(f"Worker {worker}: seen {worker.seen_at:%H:%M:%S} UTC.")
        if not alive:
            self.stdout.write("No worker lives.")
        failed = Job.objects.failed()
        for job in failed[:SHOWN]:
            self.stdout.write(f"Failed: {job}, {job.attempts} attempts. {job.error}")
        if options["check"] and (failed.exists() or not alive):
            raise CommandError("A job has failed." if failed.exists() else "No worker lives.")

    def retry(self, wanted: str) -> None:
        """Try one failed job again, or all of them."""
        rows = [one for one in Job.objects.failed() if wanted in ("all", str(one.id))]
        if not rows and wanted != "all":
            raise CommandError("No failed job has this id.")
        done = sum(one.retry() for one in rows)
        self.stdout.write(f"{done} of {len(rows)} jobs are tried again.")
