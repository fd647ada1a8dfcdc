"""The pages about problem types, for people: each `type` URI of a problem leads to one.

They need no database, no session and no script. Source: contract §9.
"""

import json
import re
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from itertools import groupby
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from intake.problems import EXAMPLE_REQUEST_ID, PROBLEM_TYPES, Kept, ProblemType
from intake.views import refusal

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
MAX_AGE_S = 3600

# What is kept of a post, as a short answer and what it means for the sender.
KEPT = {
    Kept.WHOLE: (
        "Yes, whole",
        "A post with the right key is kept as it came, with this answer, so that the business can "
        "find out what went wrong. There is no lead yet: keep it on your side too.",
    ),
    Kept.START: (
        "In part",
        "Of a post with the right key we keep when it came and its first 4 KiB, so that the "
        "business can see what happened. Keep the lead on your side.",
    ),
    Kept.NOTHING: (
        "No",
        "Nothing of the post is kept. Keep the lead on your side until a post of it is answered "
        "with 201.",
    ),
}

# The parts of indented JSON; each character belongs to exactly one.
JSON_PART = re.compile(
    r'(?P<name>"(?:[^"\\]|\\.)*"(?=:))|(?P<text>"(?:[^"\\]|\\.)*")'
    r'|(?P<value>[\w.+-]+)|(?P<mark>[^"\w.+-]+)'
)

Page = Callable[..., HttpResponse]


def public_page(page: Page) -> Page:
    """Let a page answer GET and HEAD only, under a policy by which it can load nothing foreign."""

    @csrf_exempt  # so that another method is 405 and not 403
    @wraps(page)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = require_safe(page)(request, *args, **kwargs)
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        if response.status_code == HTTPStatus.OK:
            response.headers["Cache-Control"] = f"public, max-age={MAX_AGE_S}"
        return response

    return answer


@public_page
def problem_index(request: HttpRequest) -> HttpResponse:
    """Answer `/problems/` with all types, by status."""
    ordered = sorted(PROBLEM_TYPES.values(), key=lambda one: one.status)
    groups = [
        (status, HTTPStatus(status).phrase, list(types))
        for status, types in groupby(ordered, key=lambda one: one.status)
    ]
    return rendered("intake/problem_index.html", "problems", {"groups": groups})


@public_page
def problem_page(request: HttpRequest, code: str) -> HttpResponse:
    """Answer `/problems/<code>` with what the type means, `404` if there is none of this code."""
    one = PROBLEM_TYPES.get(code)
    if one is None:
        return rendered("intake/problem_unknown.html", "", {}, status=404)
    kept_shortly, kept_means = KEPT[one.kept]
    context = {
        "type": one,
        "phrase": HTTPStatus(one.status).phrase,
        "kept_shortly": kept_shortly,
        "kept_means": kept_means,
        "has_retry_after": "Retry-After" in one.example_problem().headers,
        "headers": example_headers(one),
        "body": coloured(one.example),
    }
    return rendered("intake/problem_page.html", f"problems/{code}", context)


def rendered(template: str, path: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    """Return a page, made without the request so that it cannot touch session or user."""
    context["canonical_url"] = f"{settings.PUBLIC_URL}/{path}" if path else ""
    return HttpResponse(render_to_string(template, context), status=status)


def example_headers(one: ProblemType) -> list[tuple[str, str]]:
    """Return the headers of the example, those that every answer gets among them."""
    answer = refusal(EXAMPLE_REQUEST_ID, one.example_path, one.example_problem())
    always = {"Cache-Control": "no-store", "X-Request-Id": EXAMPLE_REQUEST_ID}
    return [*answer.headers.items(), *always.items()]


def coloured(body: dict[str, Any]) -> SafeString:
    """Return JSON as indented HTML, each part in a span that says what it is."""
    text = json.dumps(body, indent=2, ensure_ascii=False)
    parts = ((match.lastgroup, match[0]) for match in JSON_PART.finditer(text))
    return format_html_join("", '<span class="{}">{}</span>', parts)
