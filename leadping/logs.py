"""JSON logs, one event a line, that tell a post's story by its id and hold no key or personal data.

What other libraries log is written as the template that they gave, without its arguments, and
what went wrong as the kind of error and where, without its message: both may quote what a vendor
sent. (Contract: no key and no personal data in a log.)
"""

import json
import logging
import sys
import traceback
from contextlib import nullcontext, suppress
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, WrappedLogger

from sources.keys import blank

# What these write is put together before it gets here, and quotes paths, hosts and addresses;
# Django's template for a request is no more than "%s: %s".
SAID_FOR = {
    "django.request": "request.failed",
    "django.security": "request.suspicious",
    "waitress": "server.trouble",
}


def configure(options: dict[str, Any]) -> None:
    """Send structlog's and every other logger's events to stderr as JSON, from `level` up."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendered: list[Any] = [no_keys, as_json]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, template_only],
            pass_foreign_args=True,
            processors=[
                error_without_message,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *rendered,
            ],
        )
    )
    # Ours go to the same place without the records of `logging`, which cost more than the rest.
    structlog.configure(
        processors=[*shared, error_without_message, *rendered],
        logger_factory=lambda *_: Lines(handler),
        wrapper_class=structlog.make_filtering_bound_logger(options["level"]),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(options["level"])
    # Django's lines of refused requests quote the path; a post's own line says it without.
    logging.getLogger("django.request").setLevel("ERROR")
    # Sign-ins are on record in the database; a lock has a line of ours, without the name.
    logging.getLogger("axes").setLevel("ERROR")


class Lines:
    """Writes lines where a handler of `logging` does, in turn with it."""

    def __init__(self, handler: "logging.StreamHandler[Any]") -> None:
        self.handler = handler

    def write(self, line: str) -> None:
        """Write one line, whole; where nothing can be written, the post goes on without it."""
        with self.handler.lock or nullcontext(), suppress(OSError, ValueError):
            self.handler.stream.write(line + self.handler.terminator)
            self.handler.flush()

    debug = info = warning = error = critical = exception = write


def as_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    """Return the event as a line of JSON."""
    try:
        return orjson.dumps(event, default=repr).decode()
    except orjson.JSONEncodeError:  # half of a surrogate pair, say
        return json.dumps(event, default=repr)


def template_only(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Return another library's event as its logger and template, numbers filled in, no text."""
    record: logging.LogRecord = event["_record"]
    arguments = event.pop("positional_args", None)
    event["event"] = str(record.msg)
    if isinstance(arguments, tuple) and all(isinstance(one, int | float) for one in arguments):
        event["event"] %= arguments
    event["logger"] = record.name
    for name, said in SAID_FOR.items():
        is_put_together = not arguments or name == "django.request"
        if is_put_together and f"{record.name}.".startswith(f"{name}."):
            event["event"] = said
    if status := getattr(record, "status_code", None):
        event["status"] = status
    return event


def error_without_message(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Return the event with `exc_info` turned into the chain of error kinds and code places."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    if isinstance(info, BaseException):
        info = (type(info), info, info.__traceback__)
    if info and info[1]:
        chain = []
        error: BaseException | None = info[1]
        while error is not None:
            where = [
                f"{frame.filename}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(error.__traceback__)
            ]
            chain.append({"kind": type(error).__qualname__, "at": where})
            error = error.__cause__ or error.__context__
        event["error"] = chain
    return event


def no_keys(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Return the event with whatever looks like one of our keys blanked in its texts."""
    return {k: blank(v)[0] if isinstance(v, str) else v for k, v in event.items()}
