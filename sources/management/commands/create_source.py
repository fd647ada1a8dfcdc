"""Make a source with its first key, and print how to post with it."""

import json
import shlex
from argparse import ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import transaction
from django.utils import timezone

from sources.management.lookup import ClearCommand
from sources.models import Business, Source, Vendor
from sources.rules import Mode, Rule


def comma_separated(text: str) -> list[str]:
    """Return the non-blank parts between commas."""
    return [one.strip() for one in text.split(",") if one.strip()]


def rule_mode(text: str) -> tuple[Rule, Mode]:
    """Return the rule and mode in "RULE=MODE"; raises ArgumentTypeError for what is neither."""
    rule, _, mode = text.partition("=")
    try:
        return Rule(rule.strip()), Mode(mode.strip())
    except ValueError as error:
        raise ArgumentTypeError(f"{error}; see --help for both lists") from None


class Command(ClearCommand):
    help = "Make a source with its first key; prints the key once, and a curl line that uses it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True, help="what staff call the source")
        parser.add_argument("--business", default="Default business", help="made if need be")
        parser.add_argument("--vendor", help="made if need be; by default called as the source")
        parser.add_argument(
            "--approved", action="store_true", help="it has passed compliance review"
        )
        parser.add_argument("--states", type=comma_separated, default=[], metavar="TX,CA")
        parser.add_argument("--products", type=comma_separated, default=[], metavar="A,B")
        parser.add_argument("--verticals", type=comma_separated, default=[], metavar="A,B")
        parser.add_argument("--requires-trusted-form", action="store_true")
        parser.add_argument("--daily-cap", type=int, metavar="N", help="approved leads a day")
        parser.add_argument("--monthly-cap", type=int, metavar="N", help="approved leads a month")
        parser.add_argument(
            "--time-zone", default="America/New_York", help="in which days and months begin"
        )
        parser.add_argument(
            "--duplicate-days", type=int, default=30, metavar="N", help="0: no lead is a duplicate"
        )
        parser.add_argument("--rate", type=int, default=300, metavar="N", help="posts in 60 s")
        parser.add_argument(
            "--duplicate-scope", choices=Source.DuplicateScope.values, default="source"
        )
        parser.add_argument(
            "--mode",
            dest="modes",
            type=rule_mode,
            action="append",
            default=[],
            metavar="RULE=MODE",
            help="e.g. underage=reject; may be given several times. Rules: "
            + ", ".join(Rule.values)
            + ". Modes: "
            + ", ".join(Mode.values)
            + ".",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            source = self.make_source(options)
            _, key = source.issue_key(label="first key")
        if options["json"]:
            said = {
                "sourceId": str(source.id),
                "sourceKey": key,
                "businessId": str(source.business_id),
                "vendorId": str(source.vendor_id),
                "name": source.name,
            }
            self.stdout.write(json.dumps(said))
            return
        self.stdout.write(f"Source id:  {source.id}")
        self.stdout.write(f"Source key: {key}   (shown this once)")
        self.stdout.write("Post a lead:\n")
        self.stdout.write(curl_line(source, key))

    def make_source(self, options: dict[str, Any]) -> Source:
        """Return the new, saved source; raises ValidationError for settings that cannot be."""
        name = options["name"].strip()
        source = Source(
            business=named(Business, options["business"]),
            vendor=named(Vendor, options["vendor"] or name),
            name=name,
            allowed_states=options["states"],
            allowed_products=options["products"],
            allowed_verticals=options["verticals"],
            is_trusted_form_required=options["requires_trusted_form"],
            daily_cap=options["daily_cap"],
            monthly_cap=options["monthly_cap"],
            time_zone=options["time_zone"],
            duplicate_window_days=options["duplicate_days"],
            rate_per_minute=options["rate"],
            duplicate_scope=options["duplicate_scope"],
        )
        source.full_clean()
        source.save()
        if options["approved"]:
            source.approve(None, "Approved on the command line.", timezone.now())
        for rule, mode in options["modes"]:
            source.set_mode(rule, mode)
        return source


def named(model: type[Business] | type[Vendor], name: str) -> Any:
    """Return the row with this name, made if need be; raises ValidationError for no name."""
    name = name.strip()
    row = model._default_manager.filter(name=name).first()
    if row is None:
        row = model(name=name)
        row.full_clean()
        row.save()
    return row


def curl_line(source: Source, key: str, lead: dict[str, Any] | None = None) -> str:
    """Return a line for a shell that posts `lead`, or an example, with these credentials."""
    lead = lead or {"firstName": "Ada", "phone": "512-555-0137", "zip": "78701", "state": "TX"}
    return (
        f"curl -sS {settings.PUBLIC_URL}/leads/intake"
        f" -H 'Content-Type: application/json'"
        f" -H 'X-Leadping-Source-Id: {source.id}'"
        f" -H 'X-Leadping-Source-Key: {key}'"
        f" -d {shlex.quote(json.dumps(lead))}"
    )
