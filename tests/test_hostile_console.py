"""What a curious or careless colleague, or a hostile vendor, gets out of the console: nothing."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.urls import reverse

from intake.models import Post
from leads.imports import BadRow, SuppressionImport
from leads.models import Disclosure, Lead
from tests.factories import Door, make_source, make_tombstone, suppress
from tests.test_admin import signed_in
from tests.test_desk import reviewer, url

FORM = "application/x-www-form-urlencoded"
SECRETS = ("Zebediah", "zeb@example.com", "5125550137", "512-555-0137", "9 Hidden Lane")
NO_ID = "00000000-0000-7000-8000-000000000000"


@pytest.fixture(autouse=True)
def plain_http(settings: Any) -> None:
    """Let the test client, which speaks HTTP, in."""
    settings.SECURE_SSL_REDIRECT = False


@pytest.fixture
def strict(db: None) -> Door:
    return Door(make_source(is_trusted_form_required=True))


def tolerant(client: Client) -> Client:
    """Return a client that answers 500 where a view fails."""
    client.raise_request_exception = False
    return client


def shown(client: Client, name: str, *args: Any) -> list[str]:
    """Return which secrets a page tells."""
    response = client.get(url(name, *args))
    assert response.status_code == 200, name
    return [one for one in SECRETS if one in response.content.decode()]


# --- what is masked can be asked for --------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "model", "probe"),
    [
        ("Source manager", "intake_post", "address__startswith=127.0.0"),
        ("Source manager", "intake_post", "headers__icontains=curl"),
        ("Source manager", "sources_sourcekey", "digest__startswith=a"),
        ("Compliance reviewer", "leads_suppression", "phone__startswith=%2B1512"),
        ("Compliance reviewer", "leads_suppression", "email_key__startswith=zeb"),
    ],
)
def test_no_list_can_be_filtered_by_what_it_hides(
    strict: Door, role: str, model: str, probe: str
) -> None:
    strict.send(email="zeb@example.com")
    suppress("512-555-0137", strict.source.business)
    response = tolerant(reviewer(role=role)).get(f"{url(f'{model}_changelist')}?{probe}")
    assert response.status_code == 400


@pytest.mark.parametrize(
    "probe",
    [
        *("phone__startswith=%2B1512555013", "email__startswith=zeb", "birth_date=1984-07-19"),
        *("address_line1__icontains=hidden", "phone=%2B15125550137", "last_name=Doe"),
        *("ip_address__contains=1", "source_metadata__icontains=x", "q=zeb"),
    ],
)
def test_the_list_of_leads_obeys_no_filter_that_it_does_not_have(strict: Door, probe: str) -> None:
    strict.send(email="zeb@example.com")
    strict.send(phone="213-555-0199", email="other@example.com")
    client = reviewer(role="Analyst")
    response = client.get(f"{url('leads_lead_changelist')}?{probe}", follow=True)
    assert "has no such filter" in response.content.decode()
    assert response.context["totals"].leads == 2


def test_an_analyst_cannot_spell_out_a_phone_digit_by_digit(strict: Door) -> None:
    strict.send(phone="512-555-0137")
    client, known = reviewer(role="Analyst"), "512"
    for _ in range(6):
        for digit in "0123456789":
            response = client.post(url("leads_lead_changelist"), {"find": known + digit})
            if response.status_code == 302:
                known += digit
                break
    assert known == "512"
    for ending in ("0137", "37", "5550137"):
        assert client.post(url("leads_lead_changelist"), {"find": ending}).status_code == 200
    assert not Disclosure.objects.exists()
    whole = client.post(url("leads_lead_changelist"), {"find": "(512) 555-0137"})
    assert whole.status_code == 302
    assert "0137" not in whole.headers["Location"]


# --- what a vendor puts into the wrong field ------------------------------------------------------


@pytest.mark.parametrize(
    "member",
    [
        {"state": "9 Hidden Lane"},
        {"phoneType": "zeb@example.com"},
        {"sourceMetadata": {"zeb@example.com": "x", "call 512-555-0137": "y"}},
        {"trustedFormUrl": "https://lander.example/?email=zeb@example.com&phone=5125550137"},
    ],
)
def test_a_person_in_a_field_kept_as_sent_is_masked(strict: Door, member: dict[str, str]) -> None:
    strict.send(firstName="Zebediah", email="zeb@example.com", **member)
    lead = Lead.objects.get()
    rita = reviewer()
    for name, args in (
        ("leads_lead_changelist", ()),
        ("leads_lead_change", (lead.id,)),
        ("desk_lead", (lead.id,)),
    ):
        assert not shown(rita, name, *args), name


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'[{"firstName":"Zebediah","phone":"512-555-0137"}]', FORM),
        (b'\xef\xbb\xbf{"firstName":"Zebediah","phone":"512-555-0137"}', FORM),
        (b'\'{"firstName":"Zebediah","phone":"512-555-0137"}\'', FORM),
        (b"firstName:Zebediah,phone:512-555-0137", FORM),
        (b"<lead><phone>512-555-0137</phone></lead>", FORM),
        (b'{"zeb@example.com":"512-555-0137"}', "application/json"),
    ],
)
def test_a_body_that_is_no_form_is_not_shown_as_the_name_of_a_field(
    strict: Door, body: bytes, kind: str
) -> None:
    strict.post(body, content_type=kind)
    assert not shown(reviewer(role="Source manager"), "intake_post_change", Post.objects.get().id)


# --- reveals --------------------------------------------------------------------------------------


def test_a_reveal_ends_with_the_permission(strict: Door) -> None:
    strict.send(firstName="Zebediah")
    lead = Lead.objects.get()
    client = reviewer("sam", "Source manager")
    client.post(url("leads_lead_reveal", lead.id), {"reason": "A call from the vendor"})
    assert shown(client, "leads_lead_change", lead.id)
    get_user_model().objects.get(username="sam").groups.set([Group.objects.get(name="Analyst")])
    assert not shown(client, "leads_lead_change", lead.id)


def test_what_is_left_of_an_erased_person_cannot_be_revealed(strict: Door) -> None:
    strict.send(firstName="Zebediah")
    lead, post = Lead.objects.get(), Post.objects.get()
    Lead.objects.filter(id=lead.id).update(income=77_777, gender="F")
    make_tombstone(lead)
    client = reviewer(role="Source manager")
    client.post(url("intake_post_reveal", post.id), {"reason": "Curious"})
    client.post(url("leads_lead_reveal", lead.id), {"reason": "Curious"})
    assert not shown(client, "intake_post_change", post.id)
    assert "77777" not in client.get(url("leads_lead_change", lead.id)).content.decode()


@pytest.mark.parametrize("reason", ["\u200b", "\u3164", "\u00ad", "\u2800"])
def test_a_reason_that_nobody_can_see_is_none(strict: Door, reason: str) -> None:
    strict.send(firstName="Zebediah")
    lead = Lead.objects.get()
    client = reviewer()
    client.post(url("leads_lead_reveal", lead.id), {"reason": reason})
    assert not shown(client, "leads_lead_change", lead.id)


@pytest.mark.parametrize(
    "permissions",
    [("add_suppressionimport",), ("add_suppressionimport", "view_suppressionimport")],
)
def test_bad_rows_are_shown_only_to_who_may_reveal(
    strict: Door, permissions: tuple[str, ...]
) -> None:
    one = SuppressionImport.objects.create(
        kind="opt-out", channel="all", business=strict.source.business, state="done", rows_bad=1
    )
    BadRow.objects.create(of=one, line=2, why="No phone.", cells=["Zebediah", "512-555-0137x"])
    client = signed_in(*permissions)
    assert client.get(url("import_bad_rows", one.id)).status_code in (403, 405)
    assert client.post(url("import_bad_rows_shown", one.id)).status_code in (400, 403)


# --- more than the role allows --------------------------------------------------------------------


def test_an_analyst_is_not_told_the_decisions_of_reviewers(strict: Door) -> None:
    strict.send()
    lead = Lead.objects.get()
    lead.reject(None, "", "Said on the phone that she is 512-555-0137")
    page = reviewer(role="Analyst").get(url("leads_lead_change", lead.id)).content.decode()
    assert "Said on the phone" not in page


def test_staff_without_a_role_are_told_no_numbers(strict: Door) -> None:
    strict.send()
    page = signed_in().get(url("index")).content.decode()
    assert "consent-missing" not in page
    assert "Your account has no role" in page


def test_guesses_at_the_old_password_are_counted(db: None) -> None:
    user = get_user_model().objects.create_user("rita", password="right horse 9", is_staff=True)
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    new = {"new_password1": "other horse 99", "new_password2": "other horse 99"}
    for number in range(10):
        client.post(url("password_change"), {"old_password": f"guess {number}", **new})
    client.post(url("password_change"), {"old_password": "right horse 9", **new})
    user.refresh_from_db()
    assert not user.check_password("other horse 99")


def test_a_change_of_the_default_tags_is_on_record_for_the_audit(strict: Door) -> None:
    source = strict.source
    tag = source.business.tags.create(name="VIP")
    settings = {"name": source.name, "vendor": str(source.vendor_id), "field_map": "{}"}
    settings |= {"rate_per_minute": str(source.rate_per_minute), "is_enabled": "on"}
    client = reviewer(role="Source manager")
    client.post(url("sources_source_change", source.id), {**settings, "default_tags": [tag.id]})
    assert source.default_tags.get() == tag
    admin = signed_in(is_superuser=True)
    told = admin.get(url("source_history", source.id)).content.decode()
    told += admin.get(url("audit")).content.decode()
    assert "default tags" in told.lower() or "VIP" in told


# --- nothing makes the console fail ---------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "leads/lead/?phone__regex=(",
        "leads/lead/?received_at__year=99999999999",
        "leads/lead/?price__gt=1e999999",
        "leads/lead/?id__contains=%00",
        "leads/lead/?phone__startswith=%00",
        "leads/review/?decision__exact=%00",
        "intake/post/?body=a",
        "intake/post/?path__contains=%00",
        "sources/sourcekey/?digest=%00",
        "audit/?by=" + "9" * 4400,
        "sources/source/abc/history/",
        "autocomplete/?app_label=leads&model_name=lead&field_name=source&term=%00",
    ],
)
def test_no_address_makes_the_console_fail(strict: Door, address: str) -> None:
    strict.send()
    client = tolerant(signed_in(is_superuser=True))
    assert client.get(reverse("admin:index") + address).status_code < 500


@pytest.mark.parametrize(
    ("address", "data"),
    [
        ("intake/post/", {"action": "replay", "_selected_action": "abc"}),
        ("jobs/job/", {"action": "retry", "_selected_action": "abc"}),
        ("sources/sourcekey/", {"action": "revoke", "_selected_action": "abc"}),
        ("auth/user/", {"action": "remove_second_factor", "_selected_action": "abc"}),
        ("intake/post/replay/", {"post": NO_ID}),
        ("intake/post/replay/", {"post": NO_ID, "count": "1", "reason": "Why not"}),
        ("sources/source/example/", {"field_map": '{"\\ud800": "phone"}'}),
    ],
)
def test_no_form_makes_the_console_fail(strict: Door, address: str, data: dict[str, str]) -> None:
    strict.send()
    client = tolerant(signed_in(is_superuser=True))
    assert client.post(reverse("admin:index") + address, data).status_code < 500


@pytest.mark.parametrize("name", ["a\\ud800", "a\\u0000b"])
def test_no_field_map_makes_the_pages_of_its_source_fail(strict: Door, name: str) -> None:
    source = strict.source
    settings = {"name": source.name, "vendor": str(source.vendor_id), "is_enabled": "on"}
    settings |= {"rate_per_minute": "60", "field_map": f'{{"{name}": "phone"}}'}
    client = tolerant(reviewer(role="Source manager"))
    sent = client.post(url("sources_source_change", source.id), settings)
    assert sent.status_code < 500, connection.vendor
    for page in ("source_history", "sources_source_change"):
        assert client.get(url(page, source.id)).status_code == 200, page
