"""What every request gets: an id, the caller's real address, headers that no view may forget."""

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from uuid import uuid4

import structlog
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.security import SecurityMiddleware
from django.urls import ResolverMatch, resolve
from django.views import defaults

from intake.problems import Problem
from intake.views import refusal_of
from sources.keys import blank

# What the paths of the API begin with.
API_ROOTS = {"leads", "sources", "suppressions", "tags"}
GOOD_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)


class RequestContext:
    """Give the request `META["REQUEST_ID"]` and a `REMOTE_ADDR` that a stranger cannot set.

    An inbound `X-Request-Id` is kept if it is 8 to 64 of `A-Za-z0-9._-` and no key. Of
    the API every answer says `Cache-Control: no-store`. Source: contract §1; §3, end of table.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = request_id_for(request.META.get("HTTP_X_REQUEST_ID", ""))
        request.META["REQUEST_ID"] = request_id
        peer = request.META.get("REMOTE_ADDR", "")
        if not is_trusted(plain_address(peer)):
            request.META.pop("HTTP_X_FORWARDED_PROTO", None)  # it would say that we speak HTTPS
        forwarded_for = request.META.get("HTTP_X_FORWARDED_FOR", "")
        request.META["REMOTE_ADDR"] = caller_address(peer, forwarded_for)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            response = self.get_response(request)
        finally:
            structlog.contextvars.clear_contextvars()
        response.headers["X-Request-Id"] = request_id
        if is_of_api(request):
            response.headers["Cache-Control"] = "no-store"
        return response


class StraightToTheApi:
    """Take a request of the API to its view, past all that follows: that is for the console.

    Sessions, forms, messages and files would cost a post more than reading it does. A `Host` that
    is not ours is answered with a problem, not with a page. Source: contract §9.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.security = SecurityMiddleware(get_response)
        self.answered = convert_exception_to_response(self.answer)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not is_of_api(request):
            return self.get_response(request)
        response: Any = self.answered(request)
        response.headers["Content-Length"] = str(len(response.content))
        response.headers["X-Frame-Options"] = "DENY"
        self.security.process_response(request, response)
        return response  # type: ignore[no-any-return]

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Return what the view answers, or the problem of a host that is not ours."""
        try:
            request.get_host()
        except DisallowedHost:
            problem = Problem("not-found", "No endpoint answers under this name of a host.")
            return refusal_of(request, problem)
        view, args, kwargs = place_of(request.path_info)
        response: HttpResponse = view(request, *args, **kwargs)
        return response


@lru_cache(maxsize=64)
def place_of(path: str) -> ResolverMatch:
    """Return the view of a path, looked up once; raises Resolver404."""
    return resolve(path)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer what went wrong outside every view: of the API with a problem."""
    if is_of_api(request):
        return refusal_of(request, Problem("internal-error"))
    return defaults.server_error(request)


def is_of_api(request: HttpRequest) -> bool:
    """Say whether the request is for the API, where every answer is JSON."""
    first = request.path_info[1:].partition("/")[0]
    return first in API_ROOTS


def request_id_for(sent: str) -> str:
    """Return the id that the caller sent, if it is of the right form and no key; else a new one."""
    is_good = GOOD_REQUEST_ID.fullmatch(sent) and not blank(sent)[1]
    return sent if is_good else uuid4().hex


def caller_address(peer: str, forwarded_for: str) -> str:
    """Return the address of the caller, or "" if there is none, e.g. behind a Unix socket.

    That is the peer, unless the peer is a trusted proxy: then the right-most address in
    `X-Forwarded-For` that is not itself a trusted proxy. An IPv4 address in IPv6 clothes comes
    back as IPv4.
    """
    address = plain_address(peer)
    if not forwarded_for or not is_trusted(address):
        return address
    for hop in reversed(forwarded_for.split(",")):
        nearer, address = address, plain_address(hop.strip())
        if not address:
            return nearer  # a hop that is no address: whoever told us is all that we know
        if not is_trusted(address):
            break
    return address


@lru_cache(maxsize=4096)
def plain_address(text: str) -> str:
    """Return `text` as an IP address in its usual notation, "" if it is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])  # a zone says nothing elsewhere
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)


def is_trusted(address: str) -> bool:
    """Say whether `address` belongs to a proxy named in the setting `TRUSTED_PROXIES`."""
    return bool(address) and any(
        ipaddress.ip_address(address) in network for network in settings.TRUSTED_PROXIES
    )
