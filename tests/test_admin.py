"""The console as far as it goes: who may do what, and what no page shows."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from intake.models import Post, RefusalCount
from leads.admin import COUNTED_AT_MOST, CappedPaginator
from leads.models import Lead, to_millisecond
from sources.models import SourceKey
from tests.factories import Door

MODELS = [
    "sources_business",
    "sources_vendor",
    "sources_tag",
    "sources_source",
    "sources_sourcekey",
    "leads_lead",
    "intake_post",
    "intake_refusalcount",
]
PERSONAL = ("Zebediah", "zeb@example.com", "+15125550137", "9 Hidden Lane", "2020-03-04")


def signed_in(*permissions: str, is_superuser: bool = False) -> Client:
    """Return the client of a member of staff with these permissions."""
    users = get_user_model()
    name = f"user {users.objects.count()}"
    user = users.objects.create_user(name, is_staff=True, is_superuser=is_superuser)
    for one in permissions:
        user.user_permissions.add(Permission.objects.get(codename=one))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture(autouse=True)
def plain_http(settings: Any) -> None:
    """Let the test client, which speaks HTTP, in."""
    settings.SECURE_SSL_REDIRECT = False


@pytest.fixture
def lead(door: Door) -> Lead:
    door.source.business.tags.create(name="VIP")
    door.send(
        firstName="Zebediah",
        email="zeb@example.com",
        address1="9 Hidden Lane",
        dateOfBirth="2020-03-04",
    )
    return Lead.objects.get()


def pages(lead: Lead) -> list[str]:
    """Return the URL of every page of every model."""
    rows = {
        "sources_business": lead.business,
        "sources_vendor": lead.source.vendor,
        "sources_tag": lead.business.tags.get(),
        "sources_source": lead.source,
        "sources_sourcekey": lead.source.keys.get(),
        "leads_lead": lead,
        "intake_post": lead.posts.get(),
        "intake_refusalcount": RefusalCount.objects.get_or_create(
            minute=to_millisecond(timezone.now()), code="rate-limited", source=lead.source, count=3
        )[0],
    }
    assert list(rows) == MODELS
    urls = [reverse("admin:index")]
    for model, row in rows.items():
        urls += [
            reverse(f"admin:{model}_changelist"),
            reverse(f"admin:{model}_change", args=[row.pk]),
        ]
    return urls


def test_every_page_opens_for_an_administrator_and_shows_no_key_or_person(lead: Lead) -> None:
    client = signed_in(is_superuser=True)
    digest = lead.source.keys.get().digest
    for url in pages(lead):
        response = client.get(url)
        assert response.status_code == 200, url
        text = response.content.decode()
        assert digest not in text
        assert not any(one in text for one in PERSONAL), url
        if url == reverse("admin:leads_lead_change", args=[lead.pk]):
            assert "underage (hold): The person is under 18." in text


def test_no_page_opens_without_permission(lead: Lead) -> None:
    client = signed_in()
    for url in pages(lead)[1:]:
        assert client.get(url).status_code == 403, url
    for url in pages(lead):
        assert Client().get(url).status_code == 302, url


def test_the_root_leads_to_the_console(db: None) -> None:
    assert Client().get("/").headers["Location"] == reverse("admin:index")


def test_searching_finds_by_id_and_name(lead: Lead) -> None:
    client = signed_in(is_superuser=True)
    for model, words in (
        ("intake_post", str(lead.posts.get().id)),
        ("sources_source", lead.source.name),
        ("sources_vendor", lead.source.vendor.name),
    ):
        response = client.get(reverse(f"admin:{model}_changelist"), {"q": words})
        assert response.context["cl"].result_count == 1, model
        response = client.get(reverse(f"admin:{model}_changelist"), {"q": "nothing like it"})
        assert response.context["cl"].result_count == 0, model


def test_what_happened_is_read_only_for_everyone(lead: Lead) -> None:
    client = signed_in(is_superuser=True)
    count = RefusalCount.objects.create(minute=timezone.now(), code="rate-limited", count=3)
    for model, row in (
        ("leads_lead", lead),
        ("intake_post", lead.posts.get()),
        ("intake_refusalcount", count),
    ):
        change = reverse(f"admin:{model}_change", args=[row.pk])
        assert client.post(change, {}).status_code == 403
        assert client.get(reverse(f"admin:{model}_add")).status_code == 403
        assert client.get(reverse(f"admin:{model}_delete", args=[row.pk])).status_code == 403
    key = lead.source.keys.get()
    assert client.get(reverse("admin:sources_sourcekey_add")).status_code == 403
    assert client.get(reverse("admin:sources_sourcekey_delete", args=[key.pk])).status_code == 403


def act(client: Client, model: str, action: str, *rows: Any) -> Any:
    """Run an admin action on rows."""
    return client.post(
        reverse(f"admin:{model}_changelist"),
        {"action": action, "_selected_action": [str(row.pk) for row in rows]},
        follow=True,
    )


def test_revoking_keys_is_logged_and_says_how_many(lead: Lead) -> None:
    live = lead.source.keys.get()
    ended, _ = lead.source.issue_key()
    ended.revoke(lead.received_at)
    client = signed_in("view_sourcekey", "change_sourcekey")
    response = act(client, "sources_sourcekey", "revoke", live, ended)
    assert "1 revoked, 1 had ended before." in response.content.decode()
    live.refresh_from_db()
    assert live.revoked_at is not None
    assert live.revoked_by == get_user_model().objects.get()
    assert LogEntry.objects.get().object_id == str(live.pk)


def test_who_may_only_view_is_offered_no_action_and_can_run_none(lead: Lead) -> None:
    client = signed_in("view_source", "view_sourcekey", "view_lead", "view_post", "view_tag")
    for model in ("sources_source", "sources_sourcekey", "leads_lead", "intake_post"):
        page = client.get(reverse(f"admin:{model}_changelist"))
        assert 'name="action"' not in page.content.decode()
    act(client, "sources_sourcekey", "revoke", lead.source.keys.get())
    assert SourceKey.objects.get().revoked_at is None
    assert LogEntry.objects.count() == 0


def test_pages_stop_counting_at_ten_thousand(lead: Lead, django_assert_num_queries: Any) -> None:
    paginator = CappedPaginator(Post.objects.order_by("id"), 100)
    with django_assert_num_queries(1) as queries:
        assert paginator.count == 1
    assert f"LIMIT {COUNTED_AT_MOST}" in queries[0]["sql"]


def test_the_list_of_leads_costs_the_same_however_many_it_shows(
    door: Door, django_assert_num_queries: Any
) -> None:
    client = signed_in("view_lead")
    for number in range(40):
        door.send(phone=f"512-555-01{number:02}", email=...)
        if number in (4, 39):
            with django_assert_num_queries(12):
                page = client.get(reverse("admin:leads_lead_changelist"))
    assert page.context["totals"].leads == 40
