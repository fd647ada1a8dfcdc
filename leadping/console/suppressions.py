"""Who may not be contacted: a person looked up by any spelling, suppressed, and let go again."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from leadping.console.pages import View, needs, page
from leads import lookback, masks, normalize
from leads.compliance import REGISTRY_MAX_AGE_DAYS
from leads.models import LookBack, Suppression
from leads.standing import editions_of, newest_editions, standing_for
from leads.suppressions import (
    ENDED_BY_CONSENT,
    NoEvidence,
    NoReleaseReason,
    ReleaseRefused,
)
from sources.models import Business

TRAIL = "admin:leads_suppression_changelist"
ENTRIES_SHOWN = 200
# Nobody said anything before; and time zones have room to shift it.
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
AT_SIGNS = ("@", "\uff20")


def trail() -> list[tuple[str, str]]:
    """Return the way to the pages of this module."""
    return [("Suppressions", reverse(TRAIL))]


def sent(request: HttpRequest) -> Any:
    """Return what a form has sent, None if none has."""
    return request.POST if request.method == "POST" else None


# --- is this person suppressed, and why? ----------------------------------------------------------


class PersonForm(forms.Form):
    """A person, by one value in any spelling."""

    value = forms.CharField(
        label="Phone or e-mail",
        max_length=400,
        help_text="In any spelling: (512) 555-0137, +1 512 555 0137, Ada@Example.com.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
        error_messages={"required": "Give a phone number or an e-mail address."},
    )
    business = forms.ModelChoiceField(
        Business.objects.all(), required=False, empty_label="Every business"
    )

    @property
    def is_email(self) -> bool:
        """Say whether the value is meant as an e-mail address."""
        return any(one in self.cleaned_data["value"] for one in AT_SIGNS)

    @sensitive_variables()
    def clean_value(self) -> str:
        """Return the value normalised, as it is matched."""
        try:
            text = normalize.plain_text(self.cleaned_data["value"])
            if self.is_email:
                return normalize.email_key(normalize.email(text))
            return normalize.phone(text)
        except normalize.Unacceptable as error:
            raise ValidationError(error.sentence) from None


@needs("leads.view_suppression")
@sensitive_post_parameters()
@sensitive_variables()
def person(request: HttpRequest) -> HttpResponseBase:
    """Look a person up: by POST alone, so that nobody's phone or e-mail gets into an address."""
    form = PersonForm(sent(request), label_suffix="")
    context: dict[str, Any] = {"form": form, "trail": trail()}
    if request.method == "POST" and form.is_valid():
        context |= found_of(form)
    return page(request, "suppression_person.html", "Look up a person", **context)


@sensitive_variables()
def found_of(form: PersonForm) -> dict[str, Any]:
    """Return all that is on record of the person whom a form names."""
    value, business = form.cleaned_data["value"], form.cleaned_data["business"]
    phone, email_key = ("", value) if form.is_email else (value, "")
    rows = Suppression.objects.naming(phone, email_key)
    if business:
        rows = rows.in_force_for(business)
    look_backs = Prefetch("look_backs", LookBack.objects.select_related("lead__source"))
    rows = rows.select_related("business", "created_by", "released_by").prefetch_related(look_backs)
    entries = list(rows.order_by("-created_at", "-id")[:ENTRIES_SHOWN])
    standing = [one for one in entries if not one.released_at]
    newest = newest_editions()
    editions = editions_of(newest)
    now = timezone.now()
    judged = [
        standing_for(one, standing, phone, email_key, editions, now)
        for one in ([business] if business else Business.objects.all())
    ]
    too_old = [
        one for one in newest.values() if (now.date() - one.listed_on).days > REGISTRY_MAX_AGE_DAYS
    ]
    return {
        "masked": masks.phone(phone) or masks.email(email_key),
        "is_phone": bool(phone),
        "verdicts": sorted(judged, key=lambda one: not (one.own or one.registries)),
        "standing": [
            (one, newest.get(one.list_name), one.names(phone, email_key)) for one in standing
        ],
        "ended": [(one, newest.get(one.list_name), True) for one in entries if one.released_at],
        "too_old": too_old if phone else [],
        "max_age_days": REGISTRY_MAX_AGE_DAYS,
        "is_cut": len(entries) == ENTRIES_SHOWN,
        "raw": form.data["value"],
        "business": business,
    }


# --- add ------------------------------------------------------------------------------------------


class AddForm(forms.Form):
    """A person who may not be contacted, why and by what."""

    phone = forms.CharField(
        required=False,
        max_length=400,
        help_text="In any spelling. Give a phone, an e-mail or both.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    email = forms.CharField(
        label="E-mail",
        required=False,
        max_length=400,
        help_text="Written in any case: it is matched all the same.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    kind = forms.ChoiceField(
        choices=Suppression.Kind.choices,
        initial=Suppression.Kind.OPT_OUT,
        help_text="An opt-out or a revocation ends only by the person's new consent.",
    )
    business = forms.ModelChoiceField(
        Business.objects.all(),
        required=False,
        help_text="Whom they told. None for a do-not-call registry, which is everyone's.",
    )
    channel = forms.ChoiceField(
        choices=Suppression.Channel.choices, initial=Suppression.Channel.ALL
    )
    since = forms.DateTimeField(
        required=False,
        validators=[MinValueValidator(EARLIEST, "This is too long ago.")],
        help_text="When the person said so; now, if left empty. The ten business days run from it.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    reason = forms.CharField(
        required=False,
        help_text="What the person said, or who says so.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    list_name = forms.CharField(
        label="Name of the registry",
        required=False,
        max_length=100,
        help_text="Of a do-not-call registry only.",
    )
    listed_on = forms.DateField(
        label="Date of the registry",
        required=False,
        help_text="Of a do-not-call registry only: the date of the edition that has them.",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    @sensitive_variables()
    def clean_phone(self) -> str:
        return self.as_given("phone", normalize.phone)

    @sensitive_variables()
    def clean_email(self) -> str:
        return self.as_given("email", normalize.email)

    def as_given(self, name: str, read: Any) -> str:
        """Return a value as it came, if it can be read."""
        text = str(self.cleaned_data[name])
        try:
            if text:
                read(normalize.plain_text(text))
        except normalize.Unacceptable as error:
            raise ValidationError(error.sentence) from None
        return text


# What a model's field is called in the form.
FIELDS = {"suppressed_at": "since", "email_key": "email"}


@needs("leads.add_suppression")
@sensitive_post_parameters()
@sensitive_variables()
def add(request: HttpRequest) -> HttpResponseBase:
    """Suppress a person; the page of a person carries its value here by POST too."""
    only = Business.objects.all()[:2]
    initial: dict[str, Any] = {"business": only[0] if len(only) == 1 else None}
    is_carried = "carried" in request.POST
    if is_carried:
        value = request.POST["carried"][:400]
        name = "email" if any(one in value for one in AT_SIGNS) else "phone"
        initial |= {name: value, "business": request.POST.get("business") or initial["business"]}
    is_sent = request.method == "POST" and not is_carried
    form = AddForm(request.POST if is_sent else None, initial=initial, label_suffix="")
    if is_sent and form.is_valid():
        given = form.cleaned_data
        try:
            done = lookback.suppress(
                business=given["business"],
                phone=given["phone"],
                email=given["email"],
                kind=Suppression.Kind(given["kind"]),
                channel=Suppression.Channel(given["channel"]),
                reason=given["reason"],
                provenance="console",
                by=request.user,
                since=given["since"],
                list_name=given["list_name"],
                listed_on=given["listed_on"],
            )
        except ValidationError as error:
            tell(form, error)
        else:
            return told_of(request, done)
    return page(request, "suppression_add.html", "Add a suppression", form=form, trail=trail())


def tell(form: forms.Form, error: ValidationError) -> None:
    """Show what the model has against an entry at the fields that it is about."""
    for name, errors in error.update_error_dict({}).items():
        field = FIELDS.get(name, name)
        form.add_error(field if field in form.fields else None, errors)


def told_of(request: HttpRequest, done: lookback.Suppressed) -> HttpResponseBase:
    """Answer that a person is suppressed, and what that blocked."""
    entry, count = done.entry, len(done.look_backs)
    of_suppressions = admin.site.get_model_admin(Suppression)
    blocked = f"{count} lead{'' if count == 1 else 's'} blocked."
    if done.is_new:
        of_suppressions.log_addition(request, entry, f"Added in the console; {blocked}")
    else:
        of_suppressions.log_change(request, entry, f"Added again, was there already; {blocked}")
    told = "Added." if done.is_new else "Was there already."
    messages.success(request, format_html("{} {}", told, blocks_of(request, entry, count)))
    if not request.user.has_perm("leads.view_suppression"):
        return redirect("admin:suppression_add")
    return redirect("admin:leads_suppression_change", entry.pk)


def blocks_of(request: HttpRequest, entry: Suppression, count: int) -> str:
    """Return how many leads were blocked, with the way to their look-backs."""
    if not count:
        return "No lead of this person had been let out."
    told = (
        "1 lead that had been let out is blocked now."
        if count == 1
        else f"{count} leads that had been let out are blocked now."
    )
    if not request.user.has_perm("leads.view_lookback"):
        return told
    url = reverse("admin:leads_lookback_changelist")
    return format_html(
        '{} <a href="{}?state=all&amp;suppression__id__exact={}">Whom to tell</a>',
        *(told, url, entry.pk),
    )


# --- release --------------------------------------------------------------------------------------


class ReleaseForm(forms.Form):
    """Why an entry ends, and what proves the person's new consent."""

    reason = forms.CharField(
        help_text="Why the person may be contacted again. It is kept for good.",
        widget=forms.Textarea(attrs={"rows": 2}),
        error_messages={"required": str(NoReleaseReason())},
    )
    evidence = forms.CharField(
        required=False,
        label="Evidence of new consent",
        widget=forms.Textarea(attrs={"rows": 2}),
        error_messages={"required": str(NoEvidence())},
    )

    def __init__(self, entry: Suppression, data: Any) -> None:
        super().__init__(data, label_suffix="")
        evidence = self.fields["evidence"]
        evidence.required = entry.kind in ENDED_BY_CONSENT
        evidence.help_text = (
            "An opt-out or revocation ends only by the person's own new consent: name the "
            "certificate, form or message that proves it."
            if evidence.required
            else "If there is any: the certificate, form or message that proves it."
        )


@needs("leads.change_suppression")
def release(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """End a suppression, with a reason."""
    rows = Suppression.objects.select_related("business", "released_by")
    entry = get_object_or_404(rows, pk=pk)
    form = ReleaseForm(entry, sent(request))
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            entry.release(request.user, given["reason"], given["evidence"])
        except ReleaseRefused as error:
            form.add_error(None, str(error))
            entry.refresh_from_db()
        else:
            admin.site.get_model_admin(Suppression).log_change(request, entry, "Released.")
            messages.success(request, "Released. Leads that it blocked stay blocked.")
            if request.user.has_perm("leads.view_suppression"):
                return redirect("admin:leads_suppression_change", pk)
            return redirect("admin:index")
    others = Suppression.objects.active().naming(entry.phone, entry.email_key).exclude(id=pk)
    return page(
        request,
        "suppression_release.html",
        "Release a suppression",
        form=form,
        entry=entry,
        others=others.select_related("business")[:ENTRIES_SHOWN],
        blocked=LookBack.objects.filter(suppression=entry).count(),
        trail=[*trail(), ("Suppression", reverse("admin:leads_suppression_change", args=[pk]))],
    )


# Route, view, name.
PAGES: list[tuple[str, View, str]] = [
    ("leads/suppression/person/", person, "suppression_person"),
    ("leads/suppression/add/", add, "suppression_add"),
    ("leads/suppression/<uuid:pk>/release/", release, "suppression_release"),
]
