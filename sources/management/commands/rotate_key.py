"""Give a source a new key and let the old ones end, without a moment in between."""

import json
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from sources.management.lookup import ClearCommand, source_by


class Command(ClearCommand):
    help = "Make a new key for a source; its live keys go on for a while, so no post is refused."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", help="id or name of the source")
        parser.add_argument("--label", default="", help="what the new key is called")
        parser.add_argument(
            "--overlap-hours",
            type=float,
            default=24,
            metavar="N",
            help="how long the old keys go on (default 24; 0 ends them now)",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 <= options["overlap_hours"] <= 24 * 365:
            raise CommandError("The overlap may be 0 to 8760 hours.")
        source = source_by(options["source"])
        now = timezone.now()
        ends_at = now + timedelta(hours=options["overlap_hours"])
        with transaction.atomic():
            for old in source.keys.live(now):
                old.expire(ends_at)
            _, key = source.issue_key(label=options["label"])
        if options["json"]:
            said = {
                "sourceId": str(source.id),
                "sourceKey": key,
                "oldKeysEndAt": ends_at.isoformat(),
            }
            self.stdout.write(json.dumps(said))
            return
        self.stdout.write(f"Source id:  {source.id}")
        self.stdout.write(f"New key:    {key}   (shown this once)")
        self.stdout.write(f"Its other keys end at {ends_at:%Y-%m-%d %H:%M:%S} UTC.")
