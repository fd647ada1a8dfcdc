"""Staff and roles in the console: nobody gives, takes or gets at more than they hold."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from tests.test_admin import act, signed_in

PEOPLE = reverse("admin:auth_user_changelist")
ROLES = reverse("admin:auth_group_changelist")
PASSWORD = "correct horse battery"
MANAGE = ("view_user", "add_user", "change_user", "view_group")


@pytest.fixture(autouse=True)
def plain_settings(settings: Any) -> None:
    """Let the test client, which speaks HTTP, in, and spend no time on hashing passwords."""
    settings.SECURE_SSL_REDIRECT = False
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def people(db: None) -> Client:
    """Return the client of somebody who may manage people, and otherwise what analysts may."""
    return signed_in(*MANAGE, "view_lead", "export_lead")


@pytest.fixture
def ben(db: None) -> User:
    """Return a member of staff without any right."""
    return make_person("ben")


def make_person(name: str, *roles: str, **fields: Any) -> User:
    """Return a member of staff with these roles."""
    person = get_user_model().objects.create_user(name, is_staff=True, **fields)
    person.groups.set(Group.objects.filter(name__in=roles))
    return person


def url_of(person: User, page: str = "change") -> str:
    name = "auth_user_password_change" if page == "password" else f"auth_user_{page}"
    return reverse(f"admin:{name}", args=[person.pk])


def form_of(person: User, **changes: Any) -> dict[str, Any]:
    """Return what the page of a person sends when it is saved."""
    form = {
        "username": person.username,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "email": person.email,
        "is_active": "on" if person.is_active else "",
        "is_staff": "on" if person.is_staff else "",
        "groups": [str(group.pk) for group in person.groups.all()],
    } | changes
    return {name: value for name, value in form.items() if value != ""}


def role(name: str) -> str:
    """Return the id of a role, as forms send it."""
    return str(Group.objects.get(name=name).pk)


def give_second_factor(person: User) -> None:
    TOTPDevice.objects.create(user=person, name="app")
    StaticDevice.objects.create(user=person, name="codes")


# --- the list -------------------------------------------------------------------------------------


def test_the_list_shows_roles_last_sign_in_and_second_factor(
    people: Client, django_assert_num_queries: Any
) -> None:
    for number in range(5):
        person = make_person(f"person {number}", "Analyst", "Source manager", first_name="<b>Ann")
        give_second_factor(person)
    with django_assert_num_queries(9):
        page = people.get(PEOPLE)
    body = page.content.decode()
    assert "<h1>People</h1>" in body
    assert body.count('<span class="badge badge-plain">Source manager</span>') == 5
    assert body.count('<span class="badge badge-good">on</span>') == 5
    assert "&lt;b&gt;Ann" in body
    assert "<b>Ann" not in body
    assert "never" in body


def test_superusers_are_seen_by_superusers_only(people: Client) -> None:
    root = make_person("root", is_superuser=True)
    assert "root" not in people.get(PEOPLE).content.decode()
    assert people.get(url_of(root)).status_code == 302
    assert people.post(url_of(root), form_of(root, first_name="x")).status_code == 302
    assert people.get(url_of(root, "password")).status_code == 404
    assert people.get(url_of(root, "history")).status_code == 302
    act(people, "auth_user", "remove_second_factor", root)
    root.refresh_from_db()
    assert root.first_name == ""
    assert "root" in signed_in(is_superuser=True).get(PEOPLE).content.decode()


def test_nobody_is_deleted(ben: User) -> None:
    client = signed_in(is_superuser=True)
    assert client.get(url_of(ben, "delete")).status_code == 403
    assert client.post(url_of(ben, "delete"), {"post": "yes"}).status_code == 403
    assert "delete_selected" not in client.get(PEOPLE).content.decode()
    act(client, "auth_user", "delete_selected", ben)
    assert User.objects.filter(pk=ben.pk).exists()


def test_who_may_only_view_is_offered_no_action_and_can_run_none(ben: User) -> None:
    client = signed_in("view_user", "view_lead")
    give_second_factor(ben)
    page = client.get(PEOPLE).content.decode()
    assert 'name="action"' not in page
    assert "addlink" not in page
    act(client, "auth_user", "remove_second_factor", ben)
    assert TOTPDevice.objects.count() == 1
    page = client.get(url_of(ben)).content.decode()
    assert "Set a password" not in page
    assert 'name="_save"' not in page
    assert client.post(url_of(ben), form_of(ben, first_name="x")).status_code == 403
    assert client.get(url_of(ben, "password")).status_code == 403
    assert client.get(reverse("admin:auth_user_add")).status_code == 403


def test_who_may_not_even_view_sees_nobody(ben: User) -> None:
    client = signed_in("view_lead")
    for url in (PEOPLE, ROLES, url_of(ben)):
        assert client.get(url).status_code == 403


# --- making and changing people -------------------------------------------------------------------


def test_a_new_person_is_staff_and_gets_roles_next(people: Client) -> None:
    form = {"username": "cleo", "password1": PASSWORD, "password2": PASSWORD}
    answer = people.post(reverse("admin:auth_user_add"), form)
    cleo = User.objects.get(username="cleo")
    assert answer.headers["Location"] == url_of(cleo)
    assert (cleo.is_staff, cleo.is_superuser) == (True, False)
    assert people.post(url_of(cleo), form_of(cleo, groups=[role("Analyst")])).status_code == 302
    assert [group.name for group in cleo.groups.all()] == ["Analyst"]
    latest = LogEntry.objects.latest("id")
    assert latest.get_change_message() == "Roles are now: Analyst."
    client = Client()
    client.force_login(cleo)
    assert client.get(reverse("admin:leads_lead_changelist")).status_code == 200


def test_switching_somebody_off_ends_their_sessions(people: Client, ben: User) -> None:
    theirs = Client()
    theirs.force_login(ben)
    assert theirs.get("/admin/").status_code == 200
    assert people.post(url_of(ben), form_of(ben, is_active="", email="b@x.org")).status_code == 302
    assert theirs.get("/admin/").status_code == 302
    assert "switched off" in people.get(PEOPLE).content.decode()
    assert (
        LogEntry.objects.latest("id").get_change_message()
        == "Changed Email address and May sign in."
    )


def test_a_role_with_more_than_one_holds_cannot_be_given(people: Client, ben: User) -> None:
    page = people.get(url_of(ben)).content.decode()
    assert "Analyst" in page
    assert "Compliance reviewer" not in page
    form = form_of(ben, groups=[role("Analyst"), role("Compliance reviewer")])
    answer = people.post(url_of(ben), form)
    assert answer.status_code == 200
    assert ben.groups.count() == 0


def test_nobody_but_a_superuser_makes_superusers_or_gives_single_permissions(
    people: Client, ben: User
) -> None:
    one = Permission.objects.get(codename="change_user")
    form = form_of(ben, is_superuser="on", user_permissions=[str(one.pk)])
    assert people.post(url_of(ben), form).status_code == 302
    ben.refresh_from_db()
    assert not ben.is_superuser
    assert ben.user_permissions.count() == 0
    assert signed_in(is_superuser=True).post(url_of(ben), form).status_code == 302
    ben.refresh_from_db()
    assert ben.is_superuser
    assert list(ben.user_permissions.all()) == [one]


@pytest.mark.parametrize("is_active", [True, False])
def test_who_may_do_more_cannot_be_changed_or_given_a_password(
    people: Client, is_active: bool
) -> None:
    cleo = make_person("cleo", "Compliance reviewer", is_active=is_active)
    assert people.get(url_of(cleo)).status_code == 200  # for reading
    assert people.post(url_of(cleo), form_of(cleo, is_active="on")).status_code == 403
    form = {"password1": PASSWORD, "password2": PASSWORD}
    assert people.post(url_of(cleo, "password"), form).status_code == 403
    give_second_factor(cleo)
    said = act(people, "auth_user", "remove_second_factor", cleo).content.decode()
    assert "0 removed, 1 are yourself or may do what you may not." in said
    cleo.refresh_from_db()
    assert cleo.is_active == is_active
    assert not cleo.check_password(PASSWORD)
    assert TOTPDevice.objects.count() == 1


def test_single_permissions_count_as_those_of_roles_do(people: Client, ben: User) -> None:
    ben.user_permissions.add(Permission.objects.get(codename="reveal_lead"))
    assert people.post(url_of(ben), form_of(ben)).status_code == 403


def test_nobody_changes_their_own_rights(people: Client) -> None:
    for client in (people, signed_in(is_superuser=True)):
        me = User.objects.get(pk=client.session["_auth_user_id"])
        form = form_of(
            me, username=f"me{me.pk}", first_name="Me", groups=[role("Analyst")], is_active=""
        )
        assert client.post(url_of(me), form | {"is_superuser": "on"}).status_code == 302
        before = me.is_superuser
        me.refresh_from_db()
        assert (me.first_name, me.is_active, me.is_superuser) == ("Me", True, before)
        assert me.groups.count() == 0


def test_ones_own_password_is_changed_where_the_old_one_is_asked_for(people: Client) -> None:
    me = User.objects.get(pk=people.session["_auth_user_id"])
    form = {"password1": PASSWORD, "password2": PASSWORD}
    for url in (url_of(me, "password"), f"/admin/auth/user/0{me.pk}/password/"):
        assert people.post(url, form).headers["Location"] == reverse("admin:password_change")
    me.refresh_from_db()
    assert not me.check_password(PASSWORD)


def test_somebody_else_is_given_a_password(people: Client, ben: User) -> None:
    form = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    assert people.get(url_of(ben, "password")).status_code == 200
    assert people.post(url_of(ben, "password"), form).status_code == 302
    ben.refresh_from_db()
    assert ben.check_password(PASSWORD)
    assert people.get(url_of(User.objects.create(pk=999), "password")).status_code == 200


# --- lost phones ----------------------------------------------------------------------------------


def test_a_second_factor_is_removed_for_who_lost_the_phone(people: Client, ben: User) -> None:
    give_second_factor(ben)
    me = User.objects.get(pk=people.session["_auth_user_id"])
    give_second_factor(me)
    other = make_person("other")
    said = act(people, "auth_user", "remove_second_factor", ben, me, other).content.decode()
    assert "1 removed, 1 had none, 1 are yourself or may do what you may not." in said
    assert TOTPDevice.objects.get().user == me
    assert StaticDevice.objects.get().user == me
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.change_message) == (str(ben.pk), "Removed the second factor.")


def test_no_page_shows_the_keys_of_second_factors(ben: User) -> None:
    give_second_factor(ben)
    assert not admin.site.is_registered(TOTPDevice)
    assert not admin.site.is_registered(StaticDevice)
    with pytest.raises(NoReverseMatch):
        reverse("admin:axes_accessattempt_changelist")
    key = TOTPDevice.objects.get().key
    client = signed_in(is_superuser=True)
    for url in (PEOPLE, url_of(ben), url_of(ben, "history")):
        body = client.get(url).content.decode()
        assert key not in body
        assert "pbkdf2" not in body
        assert "md5" not in body


# --- roles ----------------------------------------------------------------------------------------


def test_roles_say_in_plain_words_what_they_allow(
    people: Client, django_assert_num_queries: Any
) -> None:
    make_person("cleo", "Compliance reviewer")
    make_person("dan", "Compliance reviewer", is_active=False)
    with django_assert_num_queries(7):
        body = people.get(ROLES).content.decode()
    assert "<h1>Roles</h1>" in body
    assert '<td class="field-people">1</td>' in body
    url = reverse("admin:auth_group_change", args=[role("Compliance reviewer")])
    body = people.get(url).content.decode()
    assert "release and reject leads at the review desk" in body
    assert "leads | lead" not in body


def test_roles_are_read_only_for_all_but_superusers(db: None) -> None:
    every = [f"{verb}_group" for verb in ("view", "add", "change", "delete")]
    client, root = signed_in(*every), signed_in(is_superuser=True)
    analyst = Group.objects.get(name="Analyst")
    url = reverse("admin:auth_group_change", args=[analyst.pk])
    form = {
        "name": "Analyst",
        "permissions": [str(Permission.objects.get(codename="view_post").pk)],
    }
    assert client.get(url).status_code == 200
    assert client.post(url, form).status_code == 403
    assert client.get(reverse("admin:auth_group_add")).status_code == 403
    assert client.post(reverse("admin:auth_group_delete", args=[analyst.pk])).status_code == 403
    assert 'name="action"' not in client.get(ROLES).content.decode()
    may = sorted(one.codename for one in analyst.permissions.all())
    assert may == ["export_lead", "view_lead"]
    assert "Can " not in root.get(url).content.decode().partition('id="id_permissions"')[2][:4000]
    assert root.post(url, form).status_code == 302
    assert [one.codename for one in analyst.permissions.all()] == ["view_post"]
    assert root.get(reverse("admin:auth_group_add")).status_code == 200
