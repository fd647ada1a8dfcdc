"""The first page: what waits, what came today, what has changed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from leadping.console import charts, figures
from leadping.console.desk import capped, waiting_on
from leadping.console.pages import page
from leads.models import LookBack
from leads.reviews import DeskTab
from sources.models import Source, SourceKey

EXPIRES_WITHIN = timedelta(days=14)
CHANGED_WITHIN = timedelta(days=7)
SHOWN_AT_MOST = 8


def home(request: HttpRequest) -> TemplateResponse:
    """Answer `/admin/` for the person who is signed in, with what they may look into."""
    now = timezone.now()
    user: Any = request.user
    if not user.has_perm("leads.view_lead"):
        return page(request, "home.html", "Home", zone=timezone.get_current_timezone_name())
    found = figures.figures(now)
    context: dict[str, Any] = {
        "cards": cards(user, found),
        "days": days(user, found),
        "chart": charts.stacked(
            [
                (f"{day.on:%b %-d}", [(one, day.outcomes[one]) for one in figures.OUTCOMES])
                for day in found.days[1:]
            ]
        ),
        "outcomes": figures.OUTCOMES,
        "weekday": f"{found.today.on - figures.WEEK:%A}",
        "zone": timezone.get_current_timezone_name(),
        **reasons(user, now),
    }
    if user.has_perm("leads.review_lead"):
        context["desk"] = {
            "count": capped(waiting_on(DeskTab.REVIEW)),
            "oldest": waiting_on(DeskTab.REVIEW).first(),
        }
    if user.has_perm("leads.view_lookback"):
        context["look_backs"] = capped(LookBack.objects.unsettled())
    if user.has_perm("sources.view_source"):
        context |= about_sources(found, now)
    if user.has_perm("sources.view_sourcekey"):
        soon = SourceKey.objects.live(now).filter(expires_at__lt=now + EXPIRES_WITHIN)
        context["keys"] = list(soon.select_related("source").order_by("expires_at")[:SHOWN_AT_MOST])
    return page(request, "home.html", "Home", **context)


def link(user: Any, kind: str, since: datetime, until: datetime, **more: str) -> str:
    """Return the URL of the list of exactly what is counted, "" for who may not see it."""
    model, permission = {
        "leads": ("leads_lead", "leads.view_lead"),
        "posts": ("intake_post", "intake.view_post"),
    }[kind]
    if not user.has_perm(permission):
        return ""
    query = {"from": since.isoformat(), "to": until.isoformat(), "tests": "0", **more}
    return f"{reverse(f'admin:{model}_changelist')}?{urlencode(query)}"


def links(user: Any, day: figures.Day) -> dict[str, str]:
    """Return where each number of a day leads to."""
    since, until = day.since, day.until
    return {
        "received": link(user, "posts", since, until),
        "refused": link(user, "posts", since, until, outcome="refused"),
        "repeated": link(user, "posts", since, until, outcome="repeated"),
        **{
            one: link(user, "leads", since, until, status=one.capitalize())
            for one in ("approved", "blocked", "rejected")
        },
    }


def cards(user: Any, found: figures.Figures) -> list[dict[str, Any]]:
    """Return today's numbers, each against the same weekday until this time."""
    today, to = found.today, links(user, found.today)
    told = [("received", today.received, found.then.total())]
    told += [(one, today.outcomes[one], found.then[one]) for one in figures.OUTCOMES[:4]]
    return [
        {"name": name, "count": count, "then": then, "url": to[name]} for name, count, then in told
    ]


def days(user: Any, found: figures.Figures) -> list[dict[str, Any]]:
    """Return the days of the chart as rows of its table, the newest first."""
    rows = []
    for day in reversed(found.days[1:]):
        to = links(user, day)
        cells = [(day.received, to["received"])]
        cells += [(day.outcomes[one], to[one]) for one in figures.OUTCOMES]
        rows.append({"on": day.on, "cells": cells})
    return rows


def reasons(user: Any, now: datetime) -> dict[str, Any]:
    """Return why leads of the last days are held, each with the list of them."""
    held, leads, since = figures.reasons(now)
    rows = [
        {
            "code": code,
            "count": count,
            "share": round(100 * count / leads),
            "url": link(user, "leads", since, now, held_for=code, status="held"),
        }
        for code, count in held
    ]
    return {"reasons": rows, "held": leads, "is_cut": leads == figures.HELD_AT_MOST}


def about_sources(found: figures.Figures, now: datetime) -> dict[str, Any]:
    """Return which sources fell silent, behave otherwise, or were set otherwise."""
    told = {one.source: one for one in figures.changes(found)}
    names = Source.objects.in_bulk(list(told))
    history = Source.history.filter(history_date__gte=now - CHANGED_WITHIN, history_type="~")
    changed: dict[Any, Any] = {}
    for row in history.select_related("history_user").order_by("-history_date")[:100]:
        changed.setdefault(row.id, row)
    return {
        "silent": figures.silent(Source.objects.all(), now)[:SHOWN_AT_MOST],
        "behave": [(names[pk], one) for pk, one in told.items() if pk in names][:SHOWN_AT_MOST],
        "set": list(changed.values())[:SHOWN_AT_MOST],
    }
