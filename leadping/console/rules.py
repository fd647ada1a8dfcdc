"""By which rules a source is judged: the form, its rehearsal, and the saving of just that."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.core import signing
from django.core.exceptions import ValidationError
from django.db import transaction

from leadping.console.changes import worded
from leads import geography
from leads.rehearsal import Became, Rehearsal
from leads.rulebook import TOLD
from sources.models import Source, SourceRule, check_list_of_texts, check_time_zone
from sources.rules import ALLOWED_MODES, DEFAULT_MODES, Mode, Rule

REHEARSED_LEADS = 1000
REHEARSED_DAYS = 30
SIGNED_FOR_S = 3600


class ListField(forms.CharField):
    """A list of texts, separated by commas or lines; sent back as it was shown, it stays as it is.

    What a command has set may hold what cannot be typed so, e.g. a text with a comma.
    """

    kept: list[str] = []

    def __init__(self, **options: Any) -> None:
        widget = forms.Textarea(attrs={"rows": 2, "spellcheck": "false"})
        super().__init__(required=False, widget=widget, **options)

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:
        shown = str(self.prepare_value(self.kept))
        if shown.split() == (value or "").split():
            return self.kept
        text = super().clean(value)
        found = [one.strip() for one in text.replace("\n", ",").split(",")]
        listed = list(dict.fromkeys(filter(None, found)))
        check_list_of_texts(listed)
        return self.checked(listed)

    def checked(self, listed: list[str]) -> list[str]:
        """Return what was listed, as it is kept; raises ValidationError."""
        return listed


class StatesField(ListField):
    """A list of states, by code or name."""

    def checked(self, listed: list[str]) -> list[str]:
        codes = []
        for one in listed:
            code = geography.state_code(one) or (one if one in self.kept else "")
            if not code:
                raise ValidationError(f'"{one}" is no state: give USPS codes, e.g. TX, CA.')
            codes.append(code)
        return list(dict.fromkeys(codes))


LISTS = ("allowed_states", "allowed_products", "allowed_verticals")
JUDGED_BY = (
    *(*LISTS, "is_trusted_form_required"),
    *("duplicate_window_days", "duplicate_scope", "daily_cap", "monthly_cap", "time_zone"),
)


class RulesForm(forms.Form):
    """The settings and modes by which the leads of a source are judged."""

    allowed_states = StatesField(
        label="States",
        help_text="USPS codes or names, separated by commas. Empty: all. With a list, a lead "
        "without a state is held too.",
    )
    allowed_products = ListField(label="Products", help_text="Likewise, as vendors send them.")
    allowed_verticals = ListField(label="Verticals", help_text="Likewise.")
    is_trusted_form_required = forms.BooleanField(
        label="Every lead needs a TrustedForm certificate", required=False
    )
    duplicate_window_days = forms.IntegerField(
        label="Days in which the same person is a duplicate",
        min_value=0,
        max_value=3650,
        help_text="0: nobody is. Days of 24 hours.",
    )
    duplicate_scope = forms.ChoiceField(
        label="A duplicate of", choices=Source.DuplicateScope.choices
    )
    daily_cap = forms.IntegerField(
        label="Approved leads a day",
        required=False,
        min_value=0,
        max_value=1_000_000_000,
        help_text="Empty: no cap. Held beyond it, unless the rule over-cap says otherwise.",
    )
    monthly_cap = forms.IntegerField(
        label="Approved leads a month", required=False, min_value=0, max_value=1_000_000_000
    )
    time_zone = forms.CharField(
        label="Time zone of its days", max_length=64, validators=[check_time_zone]
    )
    # Of the source, when the form was shown: an old one must not undo what others have saved.
    version = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(self, source: Source, data: Any = None) -> None:
        initial = {name: getattr(source, name) for name in JUDGED_BY}
        initial |= {f"mode-{rule}": mode.value for rule, mode in source.modes.items()}
        initial["version"] = str(source.version)
        super().__init__(data, initial=initial)
        self.source = source
        for name in LISTS:
            field: Any = self.fields[name]
            field.kept = getattr(source, name)
        for rule in Rule:
            self.fields[f"mode-{rule}"] = forms.ChoiceField(
                label=rule.label,
                choices=[(mode.value, mode.value) for mode in ALLOWED_MODES[rule]],
                widget=forms.RadioSelect,
            )

    def settings(self) -> Iterator[Any]:
        """Yield the fields of the settings."""
        return (self[name] for name in JUDGED_BY)

    def modes(self) -> Iterator[dict[str, Any]]:
        """Yield each rule with its field, what it blocks and its default."""
        for rule in Rule:
            yield {
                "rule": rule,
                "field": self[f"mode-{rule}"],
                "blocks": TOLD[rule].blocks.replace("`", ""),
                "default": DEFAULT_MODES[rule].value,
            }

    @property
    def is_old(self) -> bool:
        """Say whether somebody has changed the source since the form was shown."""
        return bool(self.cleaned_data["version"] != str(self.source.version))

    def told(self) -> list[tuple[str, str, str]]:
        """Return what would be another, in words: label, what it is, what it would be."""
        settings, modes = self.changed()
        told = [
            (str(self.fields[name].label), worded(getattr(self.source, name)), worded(value))
            for name, value in settings.items()
        ]
        return told + [
            (rule.label, self.source.modes[rule].value, mode.value) for rule, mode in modes.items()
        ]

    def changed(self) -> tuple[dict[str, Any], dict[Rule, Mode]]:
        """Return the settings and the modes that would be others than they are."""
        settings = {
            name: self.cleaned_data[name]
            for name in JUDGED_BY
            if self.cleaned_data[name] != getattr(self.source, name)
        }
        modes = {rule: Mode(self.cleaned_data[f"mode-{rule}"]) for rule in Rule}
        return settings, {
            rule: mode for rule, mode in modes.items() if mode != self.source.modes[rule]
        }


class SourceHasChanged(Exception):
    """Somebody has changed this source meanwhile: look at the rules again."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def signed(source: Source, settings: dict[str, Any], modes: dict[Rule, Mode]) -> dict[str, Any]:
    """Return what was rehearsed: of which version of which source, and by what."""
    return {
        "source": str(source.pk),
        "version": str(source.version),
        "settings": settings,
        "modes": {rule.value: mode.value for rule, mode in modes.items()},
    }


def is_same(text: str, wanted: dict[str, Any]) -> bool:
    """Say whether a signed rehearsal is of exactly this, and of the last hour."""
    try:
        return bool(signing.loads(text, max_age=SIGNED_FOR_S) == wanted)
    except signing.BadSignature:
        return False


def named(settings: dict[str, Any], modes: dict[Rule, Mode]) -> str:
    """Return what was changed, by name."""
    told = [str(Source._meta.get_field(one).name).replace("_", " ") for one in settings]
    return ", ".join([*told, *(f"{rule} to {mode}" for rule, mode in modes.items())])


def days_of(source: Source, now: datetime) -> float:
    """Return how many days back to rehearse: to the newest thousand leads, thirty at most."""
    rows = source.leads.filter(is_test=False).order_by("-received_at")
    oldest = rows.values_list("received_at", flat=True)[REHEARSED_LEADS : REHEARSED_LEADS + 1]
    for at in oldest:
        return min((now - at) / timedelta(days=1), REHEARSED_DAYS)
    return REHEARSED_DAYS


def told_of(done: Rehearsal) -> dict[str, Any]:
    """Return a rehearsal as it is shown."""
    return {
        "leads": done.leads,
        "since": done.since,
        "more": done.more_held,
        "fewer": done.fewer_held,
        "refused": done.count(None, Became.REFUSED),
        "posts_refused": done.refused,
        "rules": [(rule, done.rules[rule]) for rule in Rule if rule in done.rules],
    }


def save_rules(source: Source, settings: dict[str, Any], modes: dict[Rule, Mode]) -> None:
    """Save what was rehearsed; raises SourceHasChanged if it was not of the source as it is."""
    with transaction.atomic():
        now = Source.objects.select_for_update(no_key=True).get(pk=source.pk)
        if now.version != source.version:
            raise SourceHasChanged
        for name, value in settings.items():
            setattr(now, name, value)
        if settings:
            now.save(update_fields=list(settings))
        for rule, mode in modes.items():
            if mode != DEFAULT_MODES[rule]:
                now.set_mode(rule, mode)
            elif row := SourceRule.objects.filter(source=now, rule=rule).first():
                row.delete()
