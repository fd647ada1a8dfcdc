"""Revoke one key of a source, or all of them, with effect at once."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import Q
from django.utils import timezone

from sources import keys
from sources.management.lookup import ClearCommand, is_uuid, source_by


class Command(ClearCommand):
    help = "Revoke a key of a source, or every live one: no post with it is accepted any more."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", help="id or name of the source")
        parser.add_argument(
            "key", nargs="?", help="the key, its id, label or last four characters; none: all"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        source = source_by(options["source"])
        now = timezone.now()
        wanted = source.keys.live(now)
        if (text := options["key"]) is not None:
            named = Q(label=text) | Q(preview=f"{keys.PREFIX}…{text}")
            if is_uuid(text):
                named |= Q(id=text)
            if keys.is_well_formed(text):
                named |= Q(digest=keys.digest(text))
            wanted = wanted.filter(named)
            if wanted.count() > 1:
                raise CommandError("Several live keys match: give the id of one.")
        found = list(wanted)
        if not found:
            raise CommandError("The source has no such live key.")
        for key in found:
            key.revoke(now)
            self.stdout.write(f"Revoked {key.preview} ({key.label or 'no label'}, id {key.id}).")
