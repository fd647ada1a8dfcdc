"""Suppress a person: from now on none of their leads is approved, nor stays so."""

from datetime import date
from typing import Any

from django.core.management.base import CommandParser

from leads.lookback import suppress
from leads.management.reading import moment, person_of, told_of
from leads.models import Suppression
from sources.management.lookup import ClearCommand, business_by


class Command(ClearCommand):
    help = (
        "Suppress a phone number, an e-mail address or both, in any spelling. When it returns, no "
        "lead of this person is approved any more: those that were are blocked, and who has seen "
        "them is told."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("values", nargs="+", metavar="VALUE", help="a phone, an e-mail or both")
        parser.add_argument("--kind", choices=Suppression.Kind.values, default="opt-out")
        parser.add_argument("--channel", choices=Suppression.Channel.values, default="all")
        parser.add_argument("--reason", default="", help="what the person said, or who says so")
        parser.add_argument("--business", help="its name or id, if there are several")
        parser.add_argument(
            "--since",
            type=moment,
            metavar="TIME",
            help="when they said so, e.g. 2026-11-25T09:30, in UTC",
        )
        parser.add_argument("--list", default="", metavar="NAME", help="of dnc-registry")
        parser.add_argument(
            "--list-date", type=date.fromisoformat, metavar="DATE", help="of dnc-registry"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        person = person_of(options["values"])
        is_registry = options["kind"] == Suppression.Kind.DNC_REGISTRY
        done = suppress(
            business=None if is_registry else business_by(options["business"]),
            phone=person.get("phone", ""),
            email=person.get("email", ""),
            kind=Suppression.Kind(options["kind"]),
            channel=Suppression.Channel(options["channel"]),
            reason=options["reason"],
            provenance="manage.py suppress",
            since=options["since"],
            list_name=options["list"],
            listed_on=options["list_date"],
        )
        entry = done.entry
        whose = entry.business or "every business"
        told = "Suppressed" if done.is_new else "Suppressed before"
        self.stdout.write(f"{told}: {entry.kind}, {entry.channel}, for {whose}. Entry {entry.id}.")
        for one in done.look_backs:
            self.stdout.write(told_of(one))
