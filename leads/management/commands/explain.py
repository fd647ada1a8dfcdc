"""Say why a lead was judged as it was, beside how it would be judged at another time."""

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from leads.explain import RulesUnknown, explain, side_by_side
from leads.findings import Finding
from leads.management.reading import moment
from leads.models import Lead
from sources.management.lookup import ClearCommand, is_uuid


class Command(ClearCommand):
    help = (
        "Judge a lead again under the rules and facts of its arrival, and under those of another "
        "time, side by side. Nothing is changed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("lead", help="its id")
        parser.add_argument(
            "--as-of", type=moment, metavar="TIME", help="in UTC; now, unless it is given"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        rows = Lead.objects.filter(id=options["lead"]) if is_uuid(options["lead"]) else None
        lead = rows.first() if rows is not None else None
        if lead is None:
            raise CommandError("No lead has this id.")
        at = options["as_of"] or timezone.now()
        if at > timezone.now():
            raise CommandError("This lies in the future.")
        try:
            then, now = explain(lead), explain(lead, at)
        except RulesUnknown as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{lead.compliance_status}. {lead.compliance_blocked_reason}".strip())
        for review in lead.reviews.all():
            by = review.by or "the command line"
            self.stdout.write(f"{review.get_decision_display()} at {review.at}, by {by}.")
        found = [one["code"] for one in lead.findings]
        self.stdout.write(f"Found on arrival, by rules {lead.rules_version}: {told(found)}")
        for one in (then, now):
            again = [finding.rule.value for finding in one.verdict.findings]
            self.stdout.write(f"As of {one.at}, by rules {one.rules_version}: {told(again)}")
        for row in side_by_side(then, now):
            if any(row.findings) or row.modes[0] != row.modes[1]:
                pairs = zip(row.modes, row.findings, strict=True)
                was, is_now = (f"{mode}: {described(one)}" for mode, one in pairs)
                self.stdout.write(f"\n{row.rule}\n  then  {was}\n  now   {is_now}")


def told(codes: list[str]) -> str:
    """Return codes as a text."""
    return ", ".join(codes) or "nothing"


def described(finding: Finding | None) -> str:
    """Return a finding with its evidence, for one line."""
    if finding is None:
        return "nothing found"
    return f"{finding.sentence} {json.dumps(dict(finding.evidence)) if finding.evidence else ''}"
