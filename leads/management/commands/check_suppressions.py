"""Prove that no lead was let out, or left out, after its person was suppressed."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from leads.lookback import look_back
from leads.management.reading import told_of
from leads.models import Lead
from leads.proof import Violation, violations
from sources.locks import lock, subjects
from sources.management.lookup import ClearCommand
from sources.sql import one_view

SHOWN = 100


class Command(ClearCommand):
    help = (
        "Go through the whole history and prove that no lead was Approved while its person was "
        "suppressed. Ends with an error that lists the leads that were."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--block",
            action="store_true",
            help="block those that are Approved still, and say who has seen them",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with one_view():
            found = list(violations())
            checked = Lead.objects.exclude(approved_at=None).count()
        for one in found[:SHOWN]:
            self.stdout.write(told(one))
        if len(found) > SHOWN:
            self.stdout.write(f"… and {len(found) - SHOWN} more.")
        if options["block"]:
            for lead_id in dict.fromkeys(one.lead_id for one in found if one.until is None):
                self.block(lead_id)
        if found:
            raise CommandError(
                f"{len(found)} times a lead was Approved while its person was suppressed."
            )
        self.stdout.write(
            f"{checked} leads that were ever Approved: none while its person was suppressed."
        )

    def block(self, lead_id: Any) -> None:
        """Block a lead as its suppression should have."""
        lead = Lead.objects.get(id=lead_id)
        with transaction.atomic():
            lock(subjects(lead.phone, lead.email_key))
            for one in look_back(lead.business_id, [lead.phone], [lead.email_key]):
                self.stdout.write(told_of(one))


def told(one: Violation) -> str:
    """Return a violation as one line."""
    what = "was let out" if one.was_let_out else "was left out"
    until = f"until {one.until} UTC" if one.until else "and is still"
    return f"Lead {one.lead_id} {what} under suppression {one.entry_id}: {one.since} UTC {until}."
