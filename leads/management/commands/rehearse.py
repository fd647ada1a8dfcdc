"""Show what other settings of a source would have done with its leads of the last days."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from leads.rehearsal import Became, rehearse
from sources.management.commands.create_source import comma_separated, rule_mode
from sources.management.lookup import ClearCommand, source_by
from sources.models import Source
from sources.rules import Rule
from sources.sql import one_view

DAYS = 30
YES_OR_NO = {"yes": True, "no": False}


def number_or_none(text: str) -> int | None:
    """Return a whole number, None for "none"; raises ValueError."""
    return None if text == "none" else int(text)


class Command(ClearCommand):
    help = (
        "Judge a source's leads of the last days again by other settings, beside those of now, and "
        "show which would be held or refused, and which no more, by which rule. Nothing is written."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", help="its id or name")
        parser.add_argument("--days", type=int, default=DAYS, metavar="N")
        add = parser.add_argument
        add("--approved", choices=YES_OR_NO, help="whether it has passed compliance review")
        add("--states", dest="allowed_states", type=comma_separated, metavar="TX,CA")
        add("--products", dest="allowed_products", type=comma_separated, metavar="A,B")
        add("--verticals", dest="allowed_verticals", type=comma_separated, metavar="A,B")
        add("--requires-trusted-form", dest="is_trusted_form_required", choices=YES_OR_NO)
        add("--duplicate-days", dest="duplicate_window_days", type=int, metavar="N")
        add("--duplicate-scope", choices=Source.DuplicateScope.values)
        add("--daily-cap", type=number_or_none, default=..., metavar="N", help="or none")
        add("--monthly-cap", type=number_or_none, default=..., metavar="N", help="or none")
        add(
            "--mode", dest="modes", type=rule_mode, action="append", default=[], metavar="RULE=MODE"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] < 1:
            raise CommandError("Give at least one day.")
        source = Source.objects.with_settings().get(id=source_by(options["source"]).id)
        names = [
            *("allowed_states", "allowed_products", "allowed_verticals"),
            *("is_trusted_form_required", "duplicate_window_days", "duplicate_scope"),
        ]
        settings = {name: options[name] for name in names if options[name] is not None}
        if "is_trusted_form_required" in settings:
            settings["is_trusted_form_required"] = YES_OR_NO[settings["is_trusted_form_required"]]
        for name in ("daily_cap", "monthly_cap"):
            if options[name] is not ...:
                settings[name] = options[name]
        now = timezone.now()
        if options["approved"]:
            settings["compliance_approved_at"] = now if YES_OR_NO[options["approved"]] else None
        modes = dict(options["modes"])
        if not settings and not modes:
            raise CommandError("Name at least one setting that would be another; see --help.")
        with one_view():
            done = rehearse(source, settings, modes, days=options["days"], now=now)
        self.stdout.write(
            f"{done.leads} leads of {source} since {done.since:%Y-%m-%d %H:%M} UTC: "
            f"{done.more_held} more would be held, {done.fewer_held} fewer, "
            f"{done.count(None, Became.REFUSED)} would be refused."
        )
        for rule in Rule:
            if rule not in done.rules:
                continue
            flips = done.rules[rule]
            if flips.otherwise:
                self.stdout.write(f"  ={flips.otherwise:<6} {rule}, by its other mode")
            for sign, count, examples in (
                ("+", flips.more, flips.more_examples),
                ("-", flips.fewer, flips.fewer_examples),
            ):
                if count:
                    some = ", ".join(map(str, examples))
                    self.stdout.write(f"  {sign}{count:<6} {rule}  e.g. {some}")
        if done.refused:
            self.stdout.write(
                f"{done.refused} posts that a rule refused are no leads, and not among them."
            )
