"""Post a test lead over HTTP to a running server, as a vendor would."""

import json
import urllib.error
import urllib.request
from datetime import timedelta
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from sources.management.lookup import ClearCommand, source_by

TIMEOUT_SECONDS = 10
KEY_MINUTES = 5


class Command(ClearCommand):
    help = (
        "Post a test lead to a running server through HTTP and print the answer. It goes in by a "
        "key for tests, made for this one post: it is judged and stored, but never counted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", help="id or name of the source")
        parser.add_argument("--url", default=settings.PUBLIC_URL, help="where the server is")
        parser.add_argument(
            "--set",
            dest="members",
            action="append",
            default=[],
            metavar="FIELD=VALUE",
            help="set a field of the lead; may be given several times",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        lead = {"firstName": "Test", "lastName": "Lead", "phone": "+15125550137"}
        for member in options["members"]:
            name, separator, value = member.partition("=")
            if not separator:
                raise CommandError(f'"{member}" is not FIELD=VALUE.')
            lead[name] = value
        source = source_by(options["source"])
        request = self.request(options["url"], lead)
        now = timezone.now()
        row, key = source.issue_key(
            label="test lead", expires_at=now + timedelta(minutes=KEY_MINUTES), is_test=True
        )
        request.add_header("X-Leadping-Source-Id", str(source.id))
        request.add_header("X-Leadping-Source-Key", key)
        try:
            status, body = self.send(request)
        finally:
            row.revoke(timezone.now())
        self.stdout.write(f"{status}")
        try:
            self.stdout.write(json.dumps(json.loads(body), indent=2))
        except ValueError:
            raise CommandError("The answer is not JSON: is that leadping?") from None
        if status != 201:
            raise CommandError("The server did not take the lead.")

    def request(self, url: str, lead: dict[str, Any]) -> urllib.request.Request:
        """Return the post without its credentials; raises CommandError for a URL that is none."""
        try:
            parts = urlsplit(url)
            is_good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            if not is_good or " " in url:
                raise ValueError
        except ValueError:
            raise CommandError("Give a URL such as http://localhost:8000.") from None
        return urllib.request.Request(
            f"{url.rstrip('/')}/leads/intake",
            data=json.dumps(lead).encode(),
            headers={
                "Content-Type": "application/json",
                "User-Agent": "leadping send_test_lead",
            },
        )

    def send(self, request: urllib.request.Request) -> tuple[int, bytes]:
        """Return the status and body of the answer; raises CommandError if none comes."""
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except (OSError, HTTPException) as error:
            raise CommandError(f"No answer from {request.host}: {error}") from None
