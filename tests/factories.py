"""Plain makers of what tests need: rows, posts, and clients that post them."""

import itertools
import json
from typing import Any

from django.test import Client
from django.utils import timezone

from leads import lookback
from leads.models import WITHOUT_PERSON, Lead, Suppression
from sources.models import Business, Source, SourceKey, Vendor
from sources.rules import Mode, Rule

_numbers = itertools.count(1)
CERTIFICATE = "https://cert.trustedform.com/" + "0123456789abcdef" * 2 + "01234567"


def make_business(name: str = "") -> Business:
    """Return a saved business."""
    return Business.objects.create(name=name or f"Business {next(_numbers)}")


def make_source(
    *,
    business: Business | None = None,
    is_approved: bool = True,
    modes: dict[Rule, Mode] | None = None,
    **settings: Any,
) -> Source:
    """Return a saved source, approved unless said otherwise."""
    number = next(_numbers)
    source = Source.objects.create(
        business=business or make_business(),
        vendor=Vendor.objects.create(name=f"Vendor {number}"),
        name=settings.pop("name", f"Source {number}"),
        compliance_approved_at=timezone.now() if is_approved else None,
        **settings,
    )
    for rule, mode in (modes or {}).items():
        source.set_mode(rule, mode)
    return source


def make_key(source: Source, **fields: Any) -> tuple[SourceKey, str]:
    """Return a key of the source and its text."""
    return source.issue_key(**fields)


def make_tombstone(lead: Lead) -> Lead:
    """Return what is left of a lead once it is erased."""
    Lead.objects.filter(id=lead.id).update(erased_at=timezone.now(), **WITHOUT_PERSON)
    lead.refresh_from_db()
    return lead


def suppress(value: str, business: Business | None = None, **more: Any) -> Suppression:
    """Return the suppression of a phone or e-mail; without a business, that of a registry."""
    person = {"email" if "@" in value else "phone": value}
    given: dict[str, Any] = {"kind": Suppression.Kind.OPT_OUT, **person, **more}
    if given["kind"] == Suppression.Kind.DNC_REGISTRY:
        given = {"list_name": "National", "listed_on": timezone.now().date(), **given}
    return lookback.suppress(business=business, **given).entry


def flat_post(**members: Any) -> dict[str, Any]:
    """Return a flat post that any approved source takes; a member that is ... is left out."""
    post = {"firstName": "Ada", "phone": "(512) 555-0137", "email": "ada@example.com"} | members
    return {name: value for name, value in post.items() if value is not ...}


class Door:
    """Posts to the intake of one source, with its key in the header pair."""

    def __init__(self, source: Source, key: str = "", path: str = "/leads/intake") -> None:
        self.source = source
        self.key = key or make_key(source)[1]
        self.path = path
        self.client = Client()

    @property
    def credentials(self) -> dict[str, str]:
        """Return the header pair."""
        return {
            "X-Leadping-Source-Id": str(self.source.id),
            "X-Leadping-Source-Key": self.key,
        }

    def post(self, body: Any = None, *, headers: dict[str, str] | None = None, **more: Any) -> Any:
        """Post a body: bytes as they are, anything else as JSON; `headers` replace credentials."""
        data = (
            body if isinstance(body, bytes) else json.dumps(flat_post() if body is None else body)
        )
        return self.client.post(
            self.path,
            data,
            content_type=more.pop("content_type", "application/json"),
            headers=self.credentials if headers is None else headers,
            **more,
        )

    def send(self, **members: Any) -> Any:
        """Post a flat post that differs from the usual one in these members."""
        return self.post(flat_post(**members))
