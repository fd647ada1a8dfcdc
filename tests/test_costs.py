"""No page of the console asks the database more often because it shows more rows."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from intake.models import RefusalCount, Replay
from leadping.jobs.models import Job, Worker
from leads.models import Lead, LookBack, RegistryList, Review, Suppression, SuppressionImport
from sources.models import ApiToken, Business, Source, SourceKey, Tag, Vendor
from sources.rules import Mode, Rule
from tests.api import make_token
from tests.factories import Door, make_business, make_source, suppress
from tests.test_admin import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def plain_http(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = False


class Rows:
    """Rows of every kind that a list shows, more and more of them."""

    def __init__(self) -> None:
        self.source = make_source(is_trusted_form_required=True, rate_per_minute=10_000)
        self.source.set_mode(Rule.DUPLICATE, Mode.OFF)
        self.door = Door(self.source)
        self.open = Door(make_source(rate_per_minute=10_000))
        self.by = get_user_model().objects.create_user("mary", is_staff=True)
        self.count = 0

    def grow(self, to: int) -> None:
        """Add rows until there are so many of each kind, for many a lead, person and source."""
        while self.count < to:
            self.add(self.count)
            self.count += 1

    def add(self, number: int) -> None:
        now = timezone.now()
        phone = f"512-555-{number:04}"
        self.door.send(phone=phone, email=..., externalId=f"x-{number}")
        self.door.send(phone=phone, email=..., externalId=f"x-{number}")  # again
        self.door.send(phone=..., email=...)  # refused
        held = Lead.objects.filter(source=self.source).latest("id")
        if number % 2:
            held.reject(self.by, "", "No consent.")
        self.open.send(phone=f"213-555-{number:04}", email=..., externalId=f"y-{number}")
        suppress(f"213-555-{number:04}", self.open.source.business, by=self.by)
        tag = Tag.objects.create(business=make_business(), name=f"Tag {number}")
        Lead.objects.latest("id").tags.add(tag)
        other = make_source(business=tag.business)
        other.default_tags.add(tag)
        other.issue_key(label="of many")
        make_token(tag.business, by=self.by)
        RegistryList.objects.create(name=f"List {number}", listed_on=now.date())
        SuppressionImport.objects.create(
            file_name=f"{number}.csv", kind="opt-out", business=tag.business, created_by=self.by
        )
        person = get_user_model().objects.create_user(f"person {number}", is_staff=True)
        person.groups.add(Group.objects.create(name=f"Role {number}"))
        Job.objects.create(kind="put-on-desk", key=f"job {number}")
        Worker.objects.create(name=f"worker {number}")
        RefusalCount.objects.create(
            minute=now - timedelta(minutes=number), code="rate-limited", source=other, count=1
        )
        post = self.door.source.posts.filter(lead=None).latest("received_at")
        Replay.objects.create(
            post_id=post.id,
            post_received_at=post.received_at,
            at=now,
            by=self.by,
            reason="Why not",
            outcome_before="invalid-lead",
            outcome_after="approved",
            lead=held,
        )


def lists() -> list[str]:
    """Return the names of the lists of all models."""
    return sorted(
        f"{one._meta.app_label}_{one._meta.model_name}_changelist" for one in admin.site._registry
    )


def cost_of(client: Client, url: str) -> tuple[int, str]:
    """Return how many statements a page takes, and which."""
    client.get(url)  # what is remembered after the first time
    with CaptureQueriesContext(connection) as queries:
        response = client.get(url)
    assert response.status_code == 200, url
    return len(queries), "\n".join(one["sql"][:150] for one in queries)


def test_no_page_asks_more_often_for_a_hundred_rows_than_for_ten() -> None:
    rows = Rows()
    client = signed_in(is_superuser=True)
    counted: Callable[[], dict[str, Any]] = lambda: {  # noqa: E731
        url: cost_of(client, url)
        for url in (
            *(reverse(f"admin:{name}") for name in lists()),
            *(reverse(f"admin:{name}") for name in ("index", "audit")),
            reverse("admin:desk_lead", args=[waiting.id]),
            reverse("admin:desk_alike", args=[waiting.id]),
            reverse("admin:leads_lead_change", args=[waiting.id]),
            reverse("admin:source_overview", args=[rows.source.id]),
        )
    }
    rows.grow(10)
    waiting = Lead.objects.filter(desk_tab="review").earliest("received_at")
    few = counted()
    rows.grow(100)
    many = counted()
    grown = [f"{url}: {few[url][0]}, then {many[url][0]}\n{many[url][1]}"
             for url in few if many[url][0] > few[url][0]]  # fmt: skip
    assert not grown, "\n\n".join(grown)


def test_there_are_rows_of_every_kind_that_a_list_shows() -> None:
    rows = Rows()
    rows.grow(10)
    few = (Business, Vendor, Tag, Source, SourceKey, ApiToken, Lead, Suppression, RegistryList)
    for model in (
        *few,
        Review,
        LookBack,
        SuppressionImport,
        Replay,
        RefusalCount,
        Job,
        Worker,
        Group,
    ):
        assert model._default_manager.count() >= 5, model
    assert {one._meta.model_name for one in admin.site._registry} == {
        *(one._meta.model_name for one in few),
        *(
            "review",
            "lookback",
            "suppressionimport",
            "replay",
            "refusalcount",
            "job",
            "worker",
            "group",
        ),
        *("user", "post"),
    }
