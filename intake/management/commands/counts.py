"""Count anew what reports are made of, or prove that it is as the rows have it."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from intake import rollup
from intake.models import CountedUntil, CountedZone
from sources.management.lookup import ClearCommand

SHOWN = 20


class Command(ClearCommand):
    help = (
        "Say up to when is counted what reports are made of. The worker keeps it; this counts by "
        "hand, counts everything anew, or compares it with the leads and posts."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--now", action="store_true", help="count what has come or changed")
        what.add_argument(
            "--rebuild", action="store_true", help="count all days of all sources anew"
        )
        what.add_argument(
            "--check",
            action="store_true",
            help="compare all days with the rows; ends with an error if one differs",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["rebuild"]:
            rollup.begin_again()
        if options["rebuild"] or options["now"]:
            rollup.keep_now()
        if options["check"]:
            self.check_all()
        self.tell()

    def check_all(self) -> None:
        """Compare the counts with the rows, and raise CommandError if they differ."""
        faults = [
            f"{one.source}: {fault}"
            for one in CountedZone.objects.select_related("source").order_by("source__name", "id")
            for fault in rollup.faults_of(one.source_id, one.zone)
        ]
        for fault in faults[:SHOWN]:
            self.stderr.write(fault)
        if faults:
            raise CommandError(f"{len(faults)} counts are not as the rows have them.")
        self.stdout.write("All counts are as the rows have them.")

    def tell(self) -> None:
        """Say how far the counts are."""
        until = CountedUntil.objects.first()
        at = until.at if until else None
        told = f"up to {at:%Y-%m-%d %H:%M:%S} UTC" if at else "not yet"
        zones = CountedZone.objects.count()
        open_ones = CountedZone.objects.filter(is_complete=False).count()
        more = f"; {open_ones} of {zones} are not complete" if open_ones else ""
        self.stdout.write(f"Counted {told}, {zones} sources and zones{more}.")
