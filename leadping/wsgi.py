"""The WSGI application that servers run."""

import os
from typing import Any

import django
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils.http import parse_header_parameters

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leadping.settings")


class Request(WSGIRequest):
    """A request that a `Content-Type` cannot break.

    Django's own raises, before any middleware runs, for a charset that is none or that it cannot
    decode the query with. Everything here is UTF-8; intake answers another charset with `415`.
    """

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        try:
            kind, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        except (LookupError, ValueError):
            kind, self.content_params = "unreadable", {}
        self.content_type = kind


class Handler(WSGIHandler):
    """Django's handler, with requests of the above kind."""

    request_class = Request


django.setup(set_prefix=False)
application = Handler()
