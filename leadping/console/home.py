"""The first page: what waits, what came today, what has changed."""

from django.http import HttpRequest
from django.template.response import TemplateResponse

from leadping.console.pages import page


def home(request: HttpRequest) -> TemplateResponse:
    """Answer `/admin/` for the person who is signed in."""
    return page(request, "home.html", "Home")
