"""The console as one site: Django's admin, our first page, navigation, pages that span apps."""

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path

from leadping.console import (
    audit,
    desk,
    exports,
    find,
    home,
    reports,
    second_factor,
    signin,
    suppressions,
)
from leadping.console.navigation import navigation

View = Callable[..., HttpResponseBase]


class Console(admin.AdminSite):
    site_header = site_title = "leadping"
    index_title = "Home"
    site_url = None  # there is no site besides the console
    enable_nav_sidebar = False  # ours is in the template of every page
    login_form = signin.SignInForm

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self.disable_action("delete_selected")  # on no list: what the record needs stays

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        return {**super().each_context(request), "navigation": navigation(request)}

    def index(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:
        return home.home(request)

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and not signin.lacks_second_factor(request.user)

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Wrap a view for staff who may see the console; lead others to sign-in or set-up."""
        checked: View = super().admin_view(view, cacheable)

        def led(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if signin.must_set_up(request.user):
                return redirect("admin:second-factor")
            return checked(request, *args, **kwargs)

        return update_wrapper(led, view)

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if request.method == "GET" and signin.must_set_up(request.user):
            return redirect("admin:second-factor")
        return super().login(request, {"title": "Sign in", **(extra_context or {})})

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> Any:
        context = {**self.each_context(request), **(extra_context or {})}
        return signin.PasswordChange.as_view(extra_context=context)(request)

    def get_urls(self) -> list[Any]:
        ours = [path(route, self.admin_view(view), name=name) for route, view, name in PAGES]
        for route, view, name in (
            *second_factor.PAGES,
            ("password_change/", self.password_change, "password_change"),
            ("password_change/done/", self.password_change_done, "password_change_done"),
        ):
            ours.append(path(route, signin.for_staff_without_factor(view), name=name))
        ours.append(path("logout/", signin.for_whoever_is_signed_in(self.logout), name="logout"))
        # No row has a page elsewhere; that of Django's fails on ids that are UUIDs.
        replaced = {"view_on_site", *(one.name for one in ours)}
        theirs = super().get_urls()
        return [*ours, *(one for one in theirs if getattr(one, "name", None) not in replaced)]


# The pages that are no admin of a model: route, view, name. Before those of the models.
PAGES = [
    *desk.PAGES,
    *suppressions.PAGES,
    *audit.PAGES,
    *find.PAGES,
    *reports.PAGES,
    *exports.PAGES,
]
