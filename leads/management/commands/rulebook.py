"""Write docs/compliance.md from the table of rules."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from leads.rulebook import page


class Command(BaseCommand):
    help = "Write docs/compliance.md from the table of rules."

    def add_arguments(self, parser: CommandParser) -> None:
        path = settings.BASE_DIR / "docs" / "compliance.md"
        parser.add_argument("--path", type=Path, default=path)

    def handle(self, *args: Any, **options: Any) -> None:
        options["path"].write_text(page())
