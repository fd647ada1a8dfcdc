"""What waitress itself refuses, before any of our code sees it, answered as a problem too.

And what it takes: bodies up to 16 MiB, and where staff import a list, files.
"""

import copy
from typing import Any

import waitress.server
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import ErrorTask

from intake.problems import Problem
from intake.views import PATH_MAX_LENGTH, refusal
from leadping.middleware import request_id_for
from sources.keys import blank


def problem_of(status: int) -> Problem:
    """Return the problem for a status of waitress: 400, 413, 431, 501, or what went wrong in it."""
    if status == 413:
        return Problem("body-too-large")
    if status == 431:
        return Problem("body-too-large", "The headers of the request are too large.")
    if status == 501:  # a transfer encoding that it does not resolve
        return Problem("length-required")
    if status == 400:
        return Problem("malformed-body", "The request is not HTTP: its framing cannot be read.")
    return Problem("internal-error")


class ProblemTask(ErrorTask):  # type: ignore[misc]
    """Answers a request that could not be read."""

    def execute(self) -> None:
        request_id = request_id_for(self.request.headers.get("X_REQUEST_ID", ""))
        path = getattr(self.request, "path", "") or "/"  # it may have broken before its path
        path = blank(path)[0][:PATH_MAX_LENGTH]
        response = refusal(request_id, path, problem_of(self.request.error.code))
        response.headers["X-Request-Id"] = request_id
        response.headers["Cache-Control"] = "no-store"
        self.status = f"{response.status_code} {response.reason_phrase}"
        self.response_headers.extend(response.headers.items())
        self.set_close_on_finish()
        self.content_length = len(response.content)
        self.write(response.content)


# Room for five million numbers; waitress writes what is large to disk as it comes.
MAX_UPLOAD_BYTES = 64 * 1024 * 1024
UPLOAD_PATH = "/admin/leads/suppressionimport/add/"


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """Reads a request; where lists are imported it may be large."""

    adj: Any

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        # Whoever sends no cookie of a session is not going to be let in anyway.
        if self.path == UPLOAD_PATH and "sessionid=" in self.headers.get("COOKIE", ""):
            limits = copy.copy(self.adj)
            limits.max_request_body_size = MAX_UPLOAD_BYTES
            self.adj = limits


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection, with problems for answers to what cannot be read."""

    error_task_class = ProblemTask
    parser_class = Parser


def use_problems() -> None:
    """Have every connection of this process answer with problems."""
    waitress.server.BaseWSGIServer.channel_class = Channel
