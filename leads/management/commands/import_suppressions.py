"""Import a list of people who may not be contacted, or look after an import."""

import signal
import time
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser

from leadping.jobs.models import Job
from leadping.jobs.tasks import Turn
from leadping.jobs.worker import IDLE_SECONDS, do, one_at_a_time, take
from leads.importing import NotImportable, bad_rows_as_csv, cancel, resume, start
from leads.models import Suppression, SuppressionImport
from sources.management.lookup import ClearCommand, business_by, is_uuid

TELL_EVERY_SECONDS = 1.0


class Command(ClearCommand):
    help = (
        "Import a list from a CSV file: a do-not-call registry, or a business's own. The columns "
        "that are called phone or email or hold such values; `since` and `reason` too, if they are "
        "there. The file is kept in the database until it is done: whatever stops this "
        "command, a worker or --resume goes on where it left off, and the same list may be "
        "imported again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", type=Path)
        parser.add_argument("--kind", choices=Suppression.Kind.values, default="opt-out")
        parser.add_argument("--channel", choices=Suppression.Channel.values, default="all")
        parser.add_argument("--business", help="its name or id, if there are several")
        parser.add_argument("--list", default="", metavar="NAME", help="of dnc-registry")
        parser.add_argument(
            "--list-date", type=date.fromisoformat, metavar="DATE", help="of dnc-registry"
        )
        parser.add_argument("--reason", default="", help="of rows that give none")
        parser.add_argument("--later", action="store_true", help="leave it to the worker")
        parser.add_argument(
            "--bad-rows", type=Path, metavar="FILE", help="write the rows that were not taken there"
        )
        for verb, told in (
            ("show", "say how far an import is"),
            ("cancel", "have it leave off"),
            ("resume", "have it go on"),
        ):
            parser.add_argument(f"--{verb}", metavar="IMPORT", help=told)

    def handle(self, *args: Any, **options: Any) -> None:
        verbs = [one for one in ("show", "cancel", "resume") if options[one]]
        if len(verbs) + bool(options["file"]) != 1:
            raise CommandError("Give a file, or one of --show, --cancel and --resume.")
        if options["bad_rows"]:
            try:  # before the work, not after it
                options["bad_rows"].touch()
            except OSError as error:
                raise CommandError(
                    f"The bad rows cannot be written there: {error.strerror}."
                ) from None
        one = self.import_by(options[verbs[0]]) if verbs else self.begin(options)
        try:
            if options["cancel"]:
                cancel(one)
            elif options["resume"]:
                resume(one)
        except NotImportable as error:
            raise CommandError(str(error)) from None
        if options["file"] or options["resume"]:
            self.stdout.write(f"Import {one.id}.")
            if options["later"]:
                return
            self.follow(one)
        one.refresh_from_db()
        self.stdout.write(told(one))
        if options["bad_rows"]:
            with options["bad_rows"].open("w", newline="") as out:
                out.writelines(bad_rows_as_csv(one))
            self.stdout.write(f"{one.rows_bad} rows that were not taken: {options['bad_rows']}")
        if one.state == SuppressionImport.State.FAILED:
            raise CommandError(one.trouble)

    def import_by(self, text: str) -> SuppressionImport:
        """Return the import with this id; raises CommandError."""
        found = SuppressionImport.objects.filter(id=text).first() if is_uuid(text) else None
        if found is None:
            raise CommandError("No import has this id.")
        return found

    def begin(self, options: dict[str, Any]) -> SuppressionImport:
        """Take the file in; raises CommandError or ValidationError."""
        is_registry = options["kind"] == Suppression.Kind.DNC_REGISTRY
        one = SuppressionImport(
            file_name=options["file"].name,
            business=None if is_registry else business_by(options["business"]),
            kind=options["kind"],
            channel=options["channel"],
            list_name=options["list"],
            listed_on=options["list_date"],
            reason=options["reason"],
        )
        try:
            with options["file"].open("rb") as file:
                return start(one, file)
        except OSError as error:
            raise CommandError(f"The file cannot be read: {error.strerror}.") from None

    def follow(self, one: SuppressionImport) -> None:
        """Do the work here, or watch a worker that is faster, until it is over."""
        is_told_to_stop = False
        told_at = 0.0

        def stop(signum: int, frame: FrameType | None) -> None:
            nonlocal is_told_to_stop
            is_told_to_stop = True

        def tell(turn: Turn | None = None) -> None:
            nonlocal told_at
            if time.monotonic() - told_at > TELL_EVERY_SECONDS:
                told_at = time.monotonic()
                one.refresh_from_db()
                self.stdout.write(told(one))
                self.stdout.flush()

        before = {kind: signal.signal(kind, stop) for kind in (signal.SIGINT, signal.SIGTERM)}
        try:
            while not one.is_over and not is_told_to_stop:
                with one_at_a_time() as is_mine:
                    job = self.job_of(one) if is_mine else None
                    if job:
                        do(job, lambda: is_told_to_stop, tell)
                is_left = not job and not Job.objects.open().filter(key=str(one)).exists()
                one.refresh_from_db()
                if is_left and not one.is_over:
                    raise CommandError(
                        f"Its job was given up (see manage.py jobs). To go on: --resume {one.id}"
                    )
                if not job:
                    time.sleep(IDLE_SECONDS)
                tell()
                one.refresh_from_db()
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)
        if is_told_to_stop:
            self.stdout.write(f"Left off. A worker goes on; to stop it too: --cancel {one.id}")

    def job_of(self, one: SuppressionImport) -> Job | None:
        """Return the job of an import, taken by us, None if a worker has it or it is not due."""
        job = Job.objects.open().filter(key=str(one)).first()
        return take("import_suppressions", UUID(str(job.id))) if job else None


def told(one: SuppressionImport) -> str:
    """Return how far an import is, as one line."""
    parts = [one.get_state_display(), f"{one.rows_read:,} rows read, {one.rows_bad:,} bad"]
    if one.rows_staged and one.state != SuppressionImport.State.READING:
        parts.append(f"{one.rows_done:,} of {one.rows_staged:,} done")
        parts.append(f"{one.rows_added:,} new, {one.rows_known:,} known before")
        parts.append(f"{one.leads_blocked:,} leads blocked")
    if one.rows_a_second:
        parts.append(f"{one.rows_a_second:,.0f} rows/s")
    if one.seconds_left is not None:
        parts.append(f"{one.seconds_left:,.0f} s left")
    if one.trouble:
        parts.append(one.trouble)
    return "; ".join(parts) + "."
