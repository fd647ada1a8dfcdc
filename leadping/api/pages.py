"""The description of the API as a file and as a page: open to all, for there is no data in it."""

from functools import cache
from pathlib import Path

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views.decorators.csrf import csrf_exempt

from intake.pages import public_page
from leadping.api.schemas import EXAMPLE_URL, Schema
from leadping.console.middleware import CONTENT_SECURITY_POLICY

FILE: Path = settings.BASE_DIR / "docs" / "openapi.json"


@cache
def description() -> bytes:
    """Return docs/openapi.json as it holds here: with our address, and amounts as we answer them.

    The code that made the file is not loaded for it.
    """
    made = orjson.loads(
        FILE.read_bytes().replace(EXAMPLE_URL.encode(), settings.PUBLIC_URL.encode())
    )
    if settings.INTAKE_HAS_NUMBERS:
        use_numbers(made["components"]["schemas"])
    return orjson.dumps(made)


def use_numbers(shapes: dict[str, Schema]) -> None:
    """Let intake's amounts be those of the read API, which answers numbers at all times."""
    for name, like in (
        ("LeadIntakeMetadata", "LeadMetadata"),
        ("LeadIntakeProfile", "LeadProfile"),
    ):
        properties = shapes[name]["properties"]
        for one, schema in properties.items():
            if schema.get("format") == "decimal":
                properties[one] = shapes[like]["properties"][one]


@public_page
def openapi(request: HttpRequest) -> HttpResponse:
    """Answer the description of the API in OpenAPI 3.1."""
    return HttpResponse(description(), content_type="application/json")


@public_page
def swagger(request: HttpRequest) -> HttpResponse:
    """Answer the page that shows it, made without the request: it touches no session or user."""
    return HttpResponse(render_to_string("leadping/api_docs.html"))


@csrf_exempt
def api_docs(request: HttpRequest) -> HttpResponse:
    """Answer that page under the policy of the console, by which it may run files of our own."""
    response = swagger(request)
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response
