"""What the console answers to who may not, and where nothing is; Django answers elsewhere."""

from typing import Any

from django.contrib.auth.models import Permission
from django.db.models import Q
from django.http import HttpRequest, HttpResponseBase
from django.views import csrf, defaults

from leadping.console.pages import page


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer `403` with what it would take, as far as that is known, and who can help."""
    if not is_console(request):
        return defaults.permission_denied(request, exception)
    return page(
        request, "403.html", "You may not do this", 403, missing=spelled_out(exception.args)
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer `404` without saying whether there was something once."""
    if not is_console(request):
        return defaults.page_not_found(request, exception)
    return page(request, "404.html", "There is nothing here", 404)


def no_token(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """Answer a form that was open for too long, or came from elsewhere, with `403`."""
    if not is_console(request):
        return csrf.csrf_failure(request, reason)
    return page(request, "403.html", "This form is no longer good", 403, is_stale=True)


def is_console(request: HttpRequest) -> bool:
    """Say whether a page of the console was asked for."""
    return request.path.startswith("/admin/")


def spelled_out(permissions: tuple[Any, ...]) -> list[str]:
    """Return in words what permissions like `leads.view_lead` allow; what is none is left out."""
    wanted = Q(pk=None)
    for one in permissions:
        app, _, codename = str(one).partition(".")
        wanted |= Q(content_type__app_label=app, codename=codename)
    names = Permission.objects.filter(wanted).values_list("name", flat=True)
    return [name.removeprefix("Can ") for name in names.distinct()] if permissions else []
