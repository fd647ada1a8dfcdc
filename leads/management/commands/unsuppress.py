"""Release a person's suppressions, with a reason."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from leads import normalize
from leads.management.reading import person_of
from leads.models import Suppression
from leads.suppressions import ReleaseRefused
from sources.management.lookup import ClearCommand, business_by, is_uuid


class Command(ClearCommand):
    help = (
        "Release what stands against a phone, an e-mail or both, or one entry by its id. An "
        "opt-out or revocation ends only by the person's new consent: say what proves it. Entries "
        "of registries, which are everyone's, only with --kind dnc-registry or by their id."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("values", nargs="+", metavar="VALUE", help="a phone, an e-mail, an id")
        parser.add_argument("--reason", required=True)
        parser.add_argument("--evidence", default="", help="of the person's new consent")
        parser.add_argument("--kind", choices=Suppression.Kind.values, help="only this kind")
        parser.add_argument("--channel", choices=Suppression.Channel.values, help="only this one")
        parser.add_argument("--business", help="its name or id, if there are several")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = Suppression.objects.active()
        if all(map(is_uuid, options["values"])):
            rows = rows.filter(id__in=options["values"])
        else:
            person = person_of(options["values"])
            email_key = normalize.email_key(person.get("email", ""))
            rows = rows.naming(person.get("phone", ""), email_key)
            is_registry = options["kind"] == Suppression.Kind.DNC_REGISTRY
            rows = rows.filter(business=None if is_registry else business_by(options["business"]))
        for name in ("kind", "channel"):
            if options[name]:
                rows = rows.filter(**{name: options[name]})
        entries = list(rows.order_by("created_at"))
        if not entries:
            raise CommandError("Nothing stands against this person.")
        try:
            with transaction.atomic():
                for entry in entries:
                    entry.release(None, options["reason"], options["evidence"])
        except ReleaseRefused as error:
            raise CommandError(f"Nothing was released. {error}") from None
        for entry in entries:
            whose = entry.business or "every business"
            self.stdout.write(f"Released: {entry.kind}, {entry.channel}, for {whose}. {entry.id}")
