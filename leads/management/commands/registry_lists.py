"""Show which do-not-call lists leads are checked against, or retire one."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import Max
from django.utils import timezone

from leads.compliance import REGISTRY_MAX_AGE_DAYS
from leads.models import RegistryList
from sources.management.lookup import ClearCommand


class Command(ClearCommand):
    help = (
        "Show the do-not-call lists in use and how old their newest editions are, or retire a "
        "list: its entries then block nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--retire", metavar="NAME", help="take this list out of use")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = RegistryList.objects.in_use()
        if name := options["retire"]:
            if not RegistryList.objects.retire(name):
                raise CommandError(f'No list in use is called "{name}".')
            self.stdout.write(f"Retired: {name}.")
            return
        today = timezone.now().date()
        newest = rows.values("name").annotate(newest=Max("listed_on")).order_by("name")
        for one in newest:
            age = (today - one["newest"]).days
            told = "too old: leads are held" if age > REGISTRY_MAX_AGE_DAYS else "in use"
            if rows.filter(name=one["name"], renewed_at=None).exists():
                told += ", but not looked back for to the end: resume its import"
            self.stdout.write(f"{one['name']}: of {one['newest']}, {age} days old, {told}.")
        if not newest:
            self.stdout.write("No list is in use.")
