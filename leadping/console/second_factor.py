"""The page on which each member of staff sets up, replaces or removes their own second factor."""

import time
from binascii import unhexlify
from typing import Any

import django_otp
import segno
from django import forms
from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import authenticate, get_user_model, update_session_auth_hash
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.debug import sensitive_post_parameters
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice
from django_otp.util import random_hex

from leadping.console.pages import View, page
from leadping.console.signin import (
    count_failure,
    device_that_takes,
    is_of_app,
    lacks_second_factor,
    plain_code,
)

RECOVERY_CODES = 10
# Under which a session keeps the key that is being set up. No device is made before its first code
# was right, so none is ever left half done.
NEW_KEY = "new_second_factor"
WRONG = "The password or the code is wrong."


class ProofForm(forms.Form):
    """The password and a code of whoever is signed in, asked again before something grave."""

    password = forms.CharField(
        strip=False,
        label="Your password",
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    code = forms.CharField(
        label="Code of your second factor",
        max_length=32,
        help_text="6 digits of your app, or a recovery code.",
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code"}),
    )

    def __init__(self, request: HttpRequest, data: Any = None) -> None:
        super().__init__(data, label_suffix="")
        self.request = request

    def clean(self) -> dict[str, Any]:
        """Return the fields; raises ValidationError if one is wrong, and counts the failure."""
        cleaned = super().clean() or {}
        if not self.errors:
            name = self.request.user.get_username()
            user = authenticate(self.request, username=name, password=cleaned["password"])
            if user is None:
                raise ValidationError(WRONG)
            if "code" in cleaned and device_that_takes(user, cleaned["code"]) is None:
                count_failure(self.request, name)
                raise ValidationError(WRONG)
        return cleaned


class SetUpForm(ProofForm):
    """What sets up a second factor: the password, the code of the old one, one of the new."""

    new_code = forms.CharField(
        label="Code from the app",
        max_length=32,
        help_text="The 6 digits that it shows now.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "numeric"}),
    )

    def __init__(self, request: HttpRequest, key: str, has_old: bool, data: Any = None) -> None:
        super().__init__(request, data)
        self.key = key
        if has_old:
            self.fields["code"].label = "Code of the old one"
        else:
            del self.fields["code"]

    def clean_new_code(self) -> str:
        """Return the digits; raises ValidationError if the new key does not make them now."""
        plain = plain_code(self.cleaned_data["new_code"])
        totp = TOTP(unhexlify(self.key))
        totp.time = time.time()
        if not is_of_app(plain) or not totp.verify(int(plain), tolerance=1):
            raise ValidationError(
                "This is not what the app should show. Is the clock of your phone right?"
            )
        return plain


@sensitive_post_parameters("password", "code", "new_code")
def second_factor(request: HttpRequest) -> HttpResponseBase:
    """Answer how one's second factor stands; without one, set it up."""
    user: Any = request.user
    if not django_otp.user_has_device(user):
        return set_up_page(request, has_old=False)
    asked = request.POST.get("do", "")
    form = ProofForm(request, request.POST if asked else None)
    if form.is_valid():
        if asked == "codes":
            record(user, "Made new recovery codes.")
            return codes_page(request, new_codes(user))
        if asked == "remove":
            remove(user)
            record(user, "Removed their second factor.")
            messages.success(request, "Your second factor is removed.")
            return redirect("admin:second-factor")
    return page(
        request,
        "second_factor.html",
        "Second factor",
        form=form,
        asked=asked,
        app=TOTPDevice.objects.filter(user=user, confirmed=True).first(),
        codes_left=StaticToken.objects.filter(device__user=user, device__confirmed=True).count(),
    )


@sensitive_post_parameters("password", "code", "new_code")
def replace_second_factor(request: HttpRequest) -> HttpResponseBase:
    """Set up another second factor in the place of the one that one has."""
    if not django_otp.user_has_device(request.user):
        return redirect("admin:second-factor")
    return set_up_page(request, has_old=True)


def set_up_page(request: HttpRequest, *, has_old: bool) -> HttpResponseBase:
    """Answer with a new key and ask for its first code; once it is right, with recovery codes."""
    user: Any = request.user
    key: str = request.session.setdefault(NEW_KEY, random_hex(20))
    form = SetUpForm(request, key, has_old, request.POST or None)
    if form.is_valid():
        device, codes = set_up(user, key, form.cleaned_data["new_code"])
        record(user, "Replaced their second factor." if has_old else "Set up a second factor.")
        del request.session[NEW_KEY]
        end_other_sessions(request, form.cleaned_data["password"])
        django_otp.login(request, device)
        return codes_page(request, codes)
    link = TOTPDevice(user=user, key=key).config_url
    return page(
        request,
        "second_factor_set_up.html",
        "Replace your second factor" if has_old else "Set up a second factor",
        trail=[("Second factor", reverse("admin:second-factor"))] if has_old else [],
        form=form,
        has_old=has_old,
        is_forced=lacks_second_factor(user),
        link=link,
        secret=link.partition("secret=")[2].partition("&")[0],
        picture=qr_code(link),
    )


def codes_page(request: HttpRequest, codes: list[str]) -> HttpResponseBase:
    """Answer with recovery codes, which no later page shows."""
    return page(request, "recovery_codes.html", "Recovery codes", codes=codes)


def qr_code(text: str) -> SafeString:
    """Return a QR code as SVG, dark on white in every theme, without style attributes."""
    code = segno.make_qr(text, error="m")
    # Of the text, nothing is in the picture but its shape.
    return mark_safe(code.svg_inline(light="#ffffff", omitsize=True, border=3))


@transaction.atomic
def set_up(user: Any, key: str, code: str) -> tuple[TOTPDevice, list[str]]:
    """Return the new device, the only one of the person from now on, and its recovery codes."""
    get_user_model().objects.select_for_update().get(pk=user.pk)  # one of two tabs comes later
    remove(user)
    device = TOTPDevice.objects.create(user=user, name="Authenticator app", key=key)
    device.verify_token(code)  # so that this code is used up
    return device, new_codes(user)


@transaction.atomic
def new_codes(user: Any) -> list[str]:
    """Return new recovery codes as they are shown, like "abcd-2345"; the old ones are gone."""
    StaticDevice.objects.filter(user=user).delete()
    device = StaticDevice.objects.create(user=user, name="Recovery codes")
    codes = [StaticToken.random_token() for _ in range(RECOVERY_CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=device, token=one) for one in codes)
    return [f"{one[:4]}-{one[4:]}" for one in codes]


def remove(user: Any) -> int:
    """Delete every second factor of the person, with its recovery codes; return how many."""
    devices = list(django_otp.devices_for_user(user, confirmed=None))
    for one in devices:
        one.delete()
    return len(devices)


def end_other_sessions(request: Any, password: str) -> None:
    """End the sessions of the person that began without the second factor, all but this one.

    A session holds on to the hash of the password; the same password hashed again ends it.
    """
    user = get_user_model().objects.get(pk=request.user.pk)
    user.set_password(password)
    user.save(update_fields=["password"])
    update_session_auth_hash(request, user)


def record(user: Any, said: str) -> None:
    """Put on record what somebody did with their own second factor."""
    LogEntry.objects.log_actions(user.pk, [user], CHANGE, said, single_object=True)


# Route, view, name.
PAGES: list[tuple[str, View, str]] = [
    ("second-factor/", second_factor, "second-factor"),
    ("second-factor/replace/", replace_second_factor, "second-factor-replace"),
]
