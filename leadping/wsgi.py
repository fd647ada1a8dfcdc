"""The WSGI application that servers run."""

import gc
import os
from typing import Any

import django
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils.http import parse_header_parameters

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leadping.settings")


# At how many more objects the collector looks for garbage: none of a post's needs it.
GARBAGE_AT = 20_000


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
    """Django's handler, with requests of the above kind; those to the API go straight there.

    Without the signals at the beginning and end of a request, by which Django looks after
    connections: those to the API look after theirs themselves.
    """

    request_class = Request

    def __init__(self) -> None:
        super().__init__()
        first, second, *_ = settings.MIDDLEWARE
        assert second == "leadping.middleware.StraightToTheApi"
        straight = convert_exception_to_response(import_string(second)(self.get_response))
        self.api = convert_exception_to_response(import_string(first)(straight))

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        path = environ.get("PATH_INFO", "")
        if not path.startswith("/leads") or environ.get("SCRIPT_NAME"):
            return super().__call__(environ, start_response)
        request = Request(environ)
        if not is_of_api(request):
            return super().__call__(environ, start_response)
        response: Any = self.api(request)
        status = f"{response.status_code} {response.reason_phrase}"
        start_response(status, list(response.items()))
        return [response.content]


def warm_up() -> None:
    """Load what the first post would otherwise wait for, and leave it alone from then on."""
    resolve("/leads/intake")
    normalize.can_phone_exist(normalize.phone("+15125550137"))
    normalize.email("ada@example.com")
    gc.collect()
    gc.freeze()  # the collector need not look at the code again and again
    gc.set_threshold(GARBAGE_AT)


django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402
from django.core.handlers.exception import convert_exception_to_response  # noqa: E402
from django.urls import resolve  # noqa: E402
from django.utils.module_loading import import_string  # noqa: E402

from leadping.middleware import is_of_api  # noqa: E402
from leads import normalize  # noqa: E402

application = Handler()
warm_up()
