"""What every page of the console carries: a strict policy, no caching, the staff's zone."""

from collections.abc import Callable

import structlog
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseBase
from django.template.loader import render_to_string
from django.utils import timezone

from intake.trouble import is_unavailable

log = structlog.get_logger()

# Nothing but files of our own, no script or style in the page, no eval; no frame, no base.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",  # data: the small icons inside Django's own style sheets
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


class ConsolePages:
    """Answer under `/admin/` in the zone `CONSOLE_TIME_ZONE`, under the policy, never cached."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path.startswith("/admin/"):
            return self.get_response(request)
        # Whatever charset a header names: addresses and forms of browsers are UTF-8.
        request.encoding = "utf-8"
        if "%00" in request.META.get("QUERY_STRING", ""):
            # PostgreSQL takes it for no text, in whichever filter it comes.
            response: HttpResponseBase = HttpResponseBadRequest("This address holds a NUL.")
        else:
            is_kept = connection.connection is not None and not connection.in_atomic_block
            if is_kept and not connection.is_usable():
                connection.close()  # kept from before PostgreSQL was started again
            with timezone.override(settings.CONSOLE_TIME_ZONE):
                response = self.get_response(request)
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        response.headers["Cache-Control"] = "no-store"
        # A lead's page must not tell the site of a certificate where it was linked from.
        response.headers["Referrer-Policy"] = "same-origin"
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        """Answer `503` when the database is away or too slow; other errors are Django's to tell."""
        if not request.path.startswith("/admin/") or not is_unavailable(error):
            return None
        log.error("console.database_unavailable", exc_info=True)
        return HttpResponse(
            render_to_string("console/unavailable.html"), status=503, headers={"Retry-After": "5"}
        )
