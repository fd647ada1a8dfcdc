"""What the pages of the console have in common: who may, and how one is rendered."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse

View = Callable[..., HttpResponseBase]


def needs(*permissions: str) -> Callable[[View], View]:
    """Let only those who have all these permissions reach a view; others get `403`."""

    def around(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            missing = [one for one in permissions if not request.user.has_perm(one)]
            if missing:
                raise PermissionDenied(*missing)
            return view(request, *args, **kwargs)

        return guarded

    return around


def page(
    request: HttpRequest, template: str, title: str, status: int = 200, **context: Any
) -> TemplateResponse:
    """Return a page of the console: `template` with the context of the site and its own."""
    whole = {**admin.site.each_context(request), "title": title, **context}
    return TemplateResponse(request, f"console/{template}", whole, status=status)
