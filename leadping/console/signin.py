"""How staff sign in: the password, the code of a second factor, the lock after failures.

A failed code counts as a failed password does, and is answered alike: who guesses learns from
neither the answer nor the lock that the password was right.
"""

import math
import re
from datetime import timedelta
from functools import update_wrapper
from typing import Any

import django_otp
import structlog
from axes.models import AccessAttempt
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth import authenticate
from django.contrib.auth.signals import user_login_failed
from django.contrib.auth.views import PasswordChangeView, redirect_to_login
from django.core.exceptions import ValidationError
from django.db.models import Max
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse, reverse_lazy
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from intake.throttling import network_of
from leadping.console.pages import View, page

log = structlog.get_logger()

WRONG = "The user name, password or code is wrong."
CODE_HINT = "If you have set up a second factor, its code is needed."


# --- signing in -----------------------------------------------------------------------------------


class SignInForm(AdminAuthenticationForm):
    """User name, password, and a code for whoever has a second factor."""

    request: HttpRequest  # the view of sign-in always gives one

    code = forms.CharField(
        label="Code",
        required=False,
        max_length=32,
        help_text="6 digits, if you have set up a second factor. A recovery code will do.",
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code"}),
    )
    error_messages = {"invalid_login": f"{WRONG} {CODE_HINT}", "inactive": WRONG}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, label_suffix="", **kwargs)
        self.fields["username"].label = "User name"

    def clean(self) -> dict[str, Any]:
        """Return the fields; raises ValidationError, the same whatever is wrong."""
        try:
            cleaned = super().clean()
            if self.user_cache is not None:
                self.check_code(self.user_cache, cleaned.get("code"))
        except ValidationError:
            if self.user_cache is not None:  # else Django has told of the failure
                count_failure(self.request, self.cleaned_data["username"])
            raise
        return cleaned

    def check_code(self, user: Any, code: str | None) -> None:
        """Note the device that took the code; raises ValidationError if one must and none did.

        A code that is none at all (None) is wrong even for whoever needs none.
        """
        if code is None:
            raise self.get_invalid_login_error()
        if not django_otp.user_has_device(user):
            return
        device = device_that_takes(user, code)
        if device is None:
            raise self.get_invalid_login_error()
        user.otp_device = device  # django-otp puts it in the session
        if isinstance(device, StaticDevice):
            left = device.token_set.count()
            messages.warning(self.request, f"You used a recovery code; {left} are left.")


def device_that_takes(user: Any, code: str) -> Any:
    """Return the device of the person that the code is right for, and use it up; None if none.

    Six digits are tried as those of the app, anything else as a recovery code, so that a wrong one
    slows down the next try of its own kind only.
    """
    plain = plain_code(code)
    kind = TOTPDevice if is_of_app(plain) else StaticDevice
    device = kind.objects.filter(user=user, confirmed=True).order_by("-id").first()
    if not plain or device is None:
        return None
    return django_otp.verify_token(user, device.persistent_id, plain)


def plain_code(code: str) -> str:
    """Return a code without the blanks and hyphens that make it readable."""
    return re.sub(r"[\s-]", "", code).lower()


def is_of_app(plain: str) -> bool:
    """Say whether this is a code of an app and not one for recovery."""
    return bool(re.fullmatch(r"[0-9]{6}", plain))


def count_failure(request: Any, username: str) -> None:
    """Have a failure that Django knows nothing of counted and recorded as one of sign-in."""
    user_login_failed.send(__name__, credentials={"username": username}, request=request)


class PasswordChangeForm(AdminPasswordChangeForm):
    """A new password; wrong guesses at the old one count as failed sign-ins do."""

    def __init__(self, user: Any, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self.request = request

    def clean_old_password(self) -> str:
        old: str = self.cleaned_data["old_password"]
        if authenticate(self.request, username=self.user.get_username(), password=old) is None:
            code = "password_incorrect"
            raise ValidationError(self.error_messages[code], code=code)
        return old


class PasswordChange(PasswordChangeView):
    """The page on which somebody changes their own password."""

    form_class = PasswordChangeForm
    success_url = reverse_lazy("admin:password_change_done")
    template_name = "registration/password_change_form.html"

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "request": self.request}


# --- the lock -------------------------------------------------------------------------------------


def address_of(request: HttpRequest) -> str | None:
    """Return the address that failures are counted by, None if there is none.

    It is `REMOTE_ADDR`, which leadping.middleware keeps honest; of IPv6, the network that its
    owner has all of.
    """
    return network_of(request.META.get("REMOTE_ADDR", "")) or None


def locked_out(
    request: Any, response: Any = None, credentials: dict[str, Any] | None = None
) -> HttpResponseBase:
    """Answer a sign-in that is locked with `429` and for how long, whoever it was for."""
    attempts = AccessAttempt.objects.filter(
        username=(credentials or {}).get("username"), ip_address=request.axes_ip_address
    )
    now = timezone.now()
    last_at = attempts.aggregate(last_at=Max("attempt_time"))["last_at"] or now
    left = max(last_at + settings.AXES_COOLOFF_TIME - now, timedelta(seconds=1))
    seconds = math.ceil(left.total_seconds())
    log.warning("staff.locked_out")
    answer = page(
        request,
        "locked_out.html",
        "Too many failed sign-ins",
        status=429,
        minutes=math.ceil(seconds / 60),
    )
    answer.headers["Retry-After"] = str(seconds)
    return answer.render()


# --- who must have a second factor ----------------------------------------------------------------


def lacks_second_factor(user: Any) -> bool:
    """Say whether the console is closed to somebody who has signed in by password only."""
    return settings.STAFF_SECOND_FACTOR and getattr(user, "otp_device", None) is None


def must_set_up(user: Any) -> bool:
    """Say whether this member of staff has to set up a second factor before anything else."""
    return (
        lacks_second_factor(user)
        and user.is_active
        and user.is_staff
        and not django_otp.user_has_device(user)
    )


def for_staff_without_factor(view: View) -> View:
    """Open a view to staff who have no second factor yet, where one is needed.

    Those who have one and did not use it sign in again.
    """

    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        user: Any = request.user
        is_staff = user.is_active and user.is_staff
        if not is_staff or (lacks_second_factor(user) and not must_set_up(user)):
            return redirect_to_login(request.get_full_path(), reverse("admin:login"))
        return view(request, *args, **kwargs)

    guarded: View = csrf_protect(never_cache(inner))
    return update_wrapper(guarded, view)


def for_whoever_is_signed_in(view: View) -> View:
    """Open a view to everybody who has signed in, whatever else they may; lead others home."""

    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect("admin:index")
        return view(request, *args, **kwargs)

    guarded: View = csrf_protect(never_cache(inner))
    return update_wrapper(guarded, view)
