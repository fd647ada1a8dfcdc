"""The console as one site: Django's admin, our first page, navigation, pages that span apps."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import path

from leadping.console import audit, desk, home, posts, signin, suppressions
from leadping.console.navigation import navigation

View = Callable[..., HttpResponseBase]


class Console(admin.AdminSite):
    site_header = site_title = "leadping"
    index_title = "Home"
    site_url = None  # there is no site besides the console
    enable_nav_sidebar = False  # ours is in the template of every page

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self.disable_action("delete_selected")  # on no list: what the record needs stays

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        return {**super().each_context(request), "navigation": navigation(request)}

    def index(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:
        return home.home(request)

    def get_urls(self) -> list[Any]:
        ours = [path(route, self.admin_view(view), name=name) for route, view, name in PAGES]
        # No row has a page elsewhere; that of Django's fails on ids that are UUIDs.
        theirs = super().get_urls()
        return [*ours, *(one for one in theirs if getattr(one, "name", "") != "view_on_site")]


# The pages that are no admin of a model: route, view, name. Before those of the models.
PAGES = [
    *desk.PAGES,
    *posts.PAGES,
    *suppressions.PAGES,
    *signin.PAGES,
    *audit.PAGES,
]
