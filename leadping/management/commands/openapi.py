"""Write docs/openapi.json, the description of the API, from the code."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from leadping.api import pages, schema


class Command(BaseCommand):
    help = "Write docs/openapi.json, the description of the API, from the code."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--path", type=Path, default=pages.FILE)

    def handle(self, *args: Any, **options: Any) -> None:
        options["path"].write_text(schema.description())
