"""A client of the read API for tests: a token of one business, and what it asks."""

import json
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from sources.models import Business
from sources.tokens import ApiToken, Scope

ALL = tuple(Scope)


def make_token(business: Business, scopes: Any = ALL, **more: Any) -> tuple[ApiToken, str]:
    """Return a token of a business and its text."""
    users = get_user_model().objects
    by = more.pop("by", None) or users.get_or_create(username="maker of tokens")[0]
    return ApiToken.objects.issue(
        business=business,
        label=more.pop("label", "CRM"),
        scopes=scopes,
        expires_at=more.pop("expires_at", timezone.now() + timedelta(days=90)),
        by=by,
        **more,
    )


class Api:
    """Asks the read API by one token."""

    def __init__(self, business: Business, scopes: Any = ALL, *, key: str = "") -> None:
        self.business = business
        self.token: ApiToken | None = None
        if not key:
            self.token, key = make_token(business, scopes)
        self.key = key
        self.client = Client()

    def ask(self, method: str, path: str, body: Any = ..., **more: Any) -> Any:
        """Send a request: bytes as they are, anything else as JSON, `...` for no body."""
        headers = {"Authorization": f"Bearer {self.key}", **more.pop("headers", {})}
        if body is ...:
            return self.client.generic(method, path, headers=headers, **more)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = more.pop("content_type", "application/json")
        return self.client.generic(method, path, data, content_type=kind, headers=headers, **more)

    def get(self, path: str, **more: Any) -> Any:
        return self.ask("GET", path, **more)

    def post(self, path: str, body: Any = ..., **more: Any) -> Any:
        return self.ask("POST", path, body, **more)

    def put(self, path: str, body: Any = ..., **more: Any) -> Any:
        return self.ask("PUT", path, body, **more)

    def delete(self, path: str, **more: Any) -> Any:
        return self.ask("DELETE", path, **more)
