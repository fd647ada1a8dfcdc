"""Prove that every post that came is one lead, one repeat or one refusal."""

from datetime import date, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from intake.balance import Day, days_of, faults_of
from sources.management.lookup import ClearCommand, source_by
from sources.models import Source
from sources.sql import one_view

DAYS = 31


class Command(ClearCommand):
    help = (
        "For each source and day (of first arrival, in the source's time zone): received = "
        "approved + blocked + rejected + repeated + refused, over what posts and leads are now, "
        "compared with the rows one by one. Ends with an error if anything does not fit."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", nargs="?", help="its id or name; all, unless it is given")
        parser.add_argument("--from", dest="first", type=date.fromisoformat, metavar="DATE")
        parser.add_argument("--to", dest="last", type=date.fromisoformat, metavar="DATE")
        parser.add_argument(
            "--quiet", action="store_true", help="only what does not fit, and the sum"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        # A day ahead: in some zones it is tomorrow.
        last = options["last"] or timezone.now().date() + timedelta(days=1)
        first = options["first"] or last - timedelta(days=DAYS)
        if first > last:
            raise CommandError("The first day comes after the last.")
        faults = []
        posts = days = 0
        with one_view():
            one = options["source"]
            sources = [source_by(one)] if one else list(Source.objects.order_by("name", "id"))
            for source in sources:
                found = days_of(source, first, last)
                if found and not options["quiet"]:
                    self.stdout.write(f"\n{source}  ({source.id}, days of {source.time_zone})")
                for day in found:
                    posts += day.received
                    days += 1
                    if not options["quiet"]:
                        self.stdout.write(told(day))
                faults += [f"{source}: {fault}" for fault in faults_of(source, first, last)]
        for fault in faults:
            self.stderr.write(fault)
        if faults:
            raise CommandError(f"{len(faults)} things do not fit.")
        self.stdout.write(f"\n{posts} posts of {len(sources)} sources on {days} days: all fit.")


def told(day: Day) -> str:
    """Return a day as one line."""
    status = day.by_status
    parts = [
        f"{day.day}  received {day.received}",
        f"= {status['Approved']} approved + {status['Blocked']} blocked "
        f"+ {status['Rejected']} rejected + {day.repeated} repeated "
        f"+ {day.refused.total()} refused",
    ]
    if day.refused:
        parts.append(f"({', '.join(f'{n} {code}' for code, n in sorted(day.refused.items()))})")
    apart = [f"{day.tests} tests"] if day.tests else []
    apart += [f"{n} {code}" for code, n in sorted(day.turned_away.items())]
    if apart:
        parts.append(f"; apart: {', '.join(apart)}")
    return "  " + " ".join(parts)
