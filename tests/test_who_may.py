"""Who may: one table of every page and every action of the console, by the roles as they are made.

Whoever adds a page or an action gives it a row here, and thinks about each of the six.
"""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import transaction
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django.urls.resolvers import URLPattern

from tests.console_rows import Rows, client_for, client_of, make_rows

# Each cell has six letters: of a stranger, staff without a role, and these.
ROLES = ("Analyst", "Source manager", "Compliance reviewer", "Administrator")
# What the letters mean.
CODES = """
    o  it opens
    -  403: not for you
    s  sends to the sign-in
    r  sends elsewhere
    p  405: only by POST, or only by GET
    x  400 or 409: what was sent is refused, and told
    4  404
"""

# The pages of models: what a GET is answered / what a POST of an empty form is.
COLUMNS = ("changelist", "add", "change", "delete", "history")
MODELS = """
# model                 changelist    add           change        delete        history
auth_group              s----o/s----o s-----/s----- s----o/s----- s-----/s----- s----o/s----o
auth_user               s----o/s----o s----o/s----o s----o/s----o s-----/s----- s----o/s----o
sources_business        s--ooo/s--ooo s--o-o/s--o-o s--ooo/s--o-o s-----/s----- s--ooo/s--ooo
sources_vendor          s--ooo/s--ooo s--o-o/s--o-o s--ooo/s--o-o s-----/s----- s--ooo/s--ooo
sources_tag             s--o-o/s--o-o s--o-o/s--o-o s--o-o/s--o-o s-----/s----- s--o-o/s--o-o
sources_source          s--ooo/s--ooo s--o-o/s--o-o s--ooo/s--o-o s-----/s----- srrrrr/srrrrr
sources_sourcekey       s--o-o/s--o-o s-----/s----- s--o-o/s--r-r s-----/s----- s--o-o/s--o-o
sources_apitoken        s----o/s----o s----o/s----o s----o/s----o s-----/s----- s----o/s----o
leads_lead              s-oooo/s-rrrr s-----/s----- s-oooo/s----- s-----/s----- s-oooo/s-oooo
leads_suppression       s---oo/s---oo s---oo/s---oo s---oo/s----- s-----/s----- s---oo/s---oo
leads_registrylist      s---oo/s---oo s-----/s----- s---oo/s----- s-----/s----- s---oo/s---oo
leads_review            s---oo/s---oo s-----/s----- s---oo/s----- s-----/s----- s---oo/s---oo
leads_lookback          s---oo/s---oo s-----/s----- s---oo/s---oo s-----/s----- s---oo/s---oo
leads_suppressionimport s---oo/s---oo s---oo/s---oo s---oo/s----- s-----/s----- s---oo/s---oo
intake_post             s--ooo/s--ooo s-----/s----- s--ooo/s----- s-----/s----- s--ooo/s--ooo
intake_replay           s--ooo/s--ooo s-----/s----- s--ooo/s----- s-----/s----- s--ooo/s--ooo
intake_refusalcount     s--ooo/s--ooo s-----/s----- s--ooo/s----- s-----/s----- s--ooo/s--ooo
jobs_job                s----o/s----o s-----/s----- s----o/s----- s-----/s----- s----o/s----o
jobs_worker             s----o/s----o s-----/s----- s----o/s----- s-----/s----- s----o/s----o
"""
# All other pages.
PAGES = """
# page                          get/post
index                           sooooo/sooooo
login                           orrrrr/oooooo
logout                          rppppp/rooooo
password_change                 sooooo/sooooo
password_change_done            sooooo/sppppp
second-factor                   sooooo/sooooo
second-factor-replace           srrrrr/srrrrr
autocomplete                    s-----/sppppp
jsi18n                          sooooo/sppppp
auth_user_password_change       s----o/s----o
import_cancel                   sppppp/s---rr
import_resume                   sppppp/s---rr
import_bad_rows                 sppppp/s---oo
app_list                        s4oooo/s4oooo
desk                            s---rr/sppppp
desk_tab                        s---rr/sppppp
desk_lead                       s---oo/sppppp
desk_alike                      s---oo/s---xx
desk_release                    sppppp/s---xx
desk_reject                     sppppp/s---xx
desk_undo                       sppppp/s---rr
desk_take_over                  sppppp/s---rr
desk_reveal                     sppppp/s---rr
leads_lead_reveal               sppppp/s--rrr
leads_views                     sppppp/s-rrrr
leads_view                      sppppp/s-4444
leads_lead_judged               s-oooo/sppppp
intake_post_replay              sppppp/s--r-r
intake_post_reveal              sppppp/s--rrr
source_overview                 s--ooo/s--ooo
source_rules                    s--ooo/s--x-x
source_approve                  s---oo/s---oo
source_issue_key                s--o-o/s--o-o
source_revoke_key               s--o-o/s--r-r
source_history                  s--ooo/s--ooo
source_example                  sppppp/s--ooo
token_revoke                    s----o/s----r
suppression_person              s---oo/s---oo
suppression_add                 s---oo/s---oo
suppression_release             s---oo/s---oo
import_bad_rows_shown           sppppp/s---oo
audit                           s---oo/sppppp
exports                         s-oooo/sppppp
export_new                      s-oooo/s-xxxx
export                          s-44oo/sppppp
export_progress                 s-44oo/sppppp
export_file                     s-4444/sppppp
export_cancel                   sppppp/s-4444
export_again                    sppppp/s-4444
export_schedules                s-oooo/sppppp
export_schedule_new             s-oooo/s-xxxx
export_schedule                 sppppp/s-4444
find                            sooooo/sooooo
reports                         s-oooo/sppppp
"""
# Who is offered, and may run, an action of a list; the six as above.
ACTIONS = """
# action
intake_post.replay              ---o-o
sources_sourcekey.revoke        ---o-o
sources_tag.archive             ---o-o
sources_tag.take_back           ---o-o
sources_apitoken.revoke         -----o
jobs_job.retry                  -----o
auth_user.remove_second_factor  -----o
"""

# The row that a page is of, by the name of its URL where that does not tell the model.
ROWS = {
    "auth_user_password_change": "auth_user",
    "import_cancel": "open_import",
    "import_resume": "open_import",
    "import_bad_rows": "leads_suppressionimport",
    "import_bad_rows_shown": "leads_suppressionimport",
    **dict.fromkeys(
        [f"desk_{one}" for one in ("lead", "alike", "release", "reject", "reveal", "take_over")],
        "waiting_lead",
    ),
    "desk_undo": "released_lead",
    **dict.fromkeys(
        ["export", *(f"export_{one}" for one in ("progress", "file", "cancel", "again"))],
        "done_export",
    ),
    "export_schedule": "export_schedule",
    "leads_view": "leads_lead",  # which no view has for its id
    "source_revoke_key": "sources_sourcekey",
    "suppression_release": "leads_suppression",
    "source_approve": "evil_source",
    "token_revoke": "sources_apitoken",
    **dict.fromkeys(
        [f"source_{one}" for one in ("overview", "rules", "issue_key", "history")],
        "sources_source",
    ),
}
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "app_list": ("leads",),
    "desk_tab": ("duplicate",),
    "export_new": ("leads",),
    "export_schedule_new": ("leads",),
}
HERE = "tests/test_who_may.py"


def table(text: str) -> dict[str, list[str]]:
    """Return the cells of each row of a table by what stands first in it."""
    lines = [line.split() for line in text.splitlines()]
    return {first: cells for first, *cells in filter(None, lines) if first != "#"}


def expected() -> dict[str, str]:
    """Return the cell of each URL by its name."""
    found = {name: cell for name, (cell,) in table(PAGES).items()}
    for model, cells in table(MODELS).items():
        found |= {
            f"{model}_{what}": cell for what, cell in zip(COLUMNS, cells, strict=True) if cell
        }
    return found


def url_names() -> list[str]:
    """Return the names of all URLs of the console; those without one only lead elsewhere."""

    def of(patterns: list[Any]) -> list[str]:
        names: list[str | None] = []
        for one in patterns:
            names += [one.name] if isinstance(one, URLPattern) else of(one.url_patterns)
        return [name for name in names if name]

    return of(admin.site.urls[0])


def url_of(name: str, rows: Rows) -> str:
    """Return the address of a page; its row is the one of its model unless ROWS says another."""
    if name in ARGUMENTS:
        return reverse(f"admin:{name}", args=ARGUMENTS[name])
    try:
        return reverse(f"admin:{name}")
    except NoReverseMatch:
        key = ROWS.get(name, name.rpartition("_")[0])
        assert key in rows, (
            f"Of which row is the page {name}? Say it in ROWS or ARGUMENTS of {HERE}."
        )
        row = rows[key]
        if name == "source_revoke_key":
            return reverse(f"admin:{name}", args=[row.source_id, row.pk])
        return reverse(f"admin:{name}", args=[row.pk])


def letter(response: Any) -> str:
    """Return how a request was answered, in the letters of the table."""
    if response.status_code == 302:
        return "s" if response.headers["Location"].startswith(reverse("admin:login")) else "r"
    letters = {200: "o", 400: "x", 403: "-", 404: "4", 405: "p", 409: "x"}
    return letters.get(response.status_code, f"({response.status_code})")


def undone(client: Client, method: str, url: str, data: Any = None) -> Any:
    """Return the answer to a request, whatever it changed taken back, in the client too."""
    cookies = copy.deepcopy(client.cookies)
    with transaction.atomic():
        response = getattr(client, method)(url, data)
        transaction.set_rollback(True)
    client.cookies = cookies
    return response


@pytest.fixture
def rows(db: None, settings: Any) -> Rows:
    settings.SECURE_SSL_REDIRECT = False  # the test client speaks HTTP
    return make_rows()


@pytest.fixture
def six(rows: Rows) -> list[Client]:
    return [Client(), client_of(""), *map(client_of, ROLES)]


def test_every_page_has_a_row() -> None:
    names = set(url_names())
    new, gone = names - expected().keys(), expected().keys() - names
    assert not new, f"Say in {HERE} who may open {sorted(new)}: in MODELS or in PAGES."
    assert not gone, f"No URL has these names of {HERE} any more: {sorted(gone)}"


def test_who_may_open_each_page_and_send_its_form(rows: Rows, six: list[Client]) -> None:
    wrong = []
    for name in url_names():
        url = url_of(name, rows)
        cell = "/".join(
            "".join(letter(undone(client, method, url)) for client in six)
            for method in ("get", "post")
        )
        if cell != (told := expected().get(name, "no row")):
            wrong.append(f"{name}: {cell}, and the table says {told}")
    assert not wrong, "\n".join([f"Not as the table of {HERE} has it:", *wrong, CODES])


# --- actions --------------------------------------------------------------------------------------


def actions() -> Iterator[tuple[str, str]]:
    """Yield each action of each list: the name of the model and its own."""
    for model, list_of in admin.site._registry.items():
        for _, name, _ in list_of._get_base_actions():  # type: ignore[attr-defined]
            yield f"{model._meta.app_label}_{model._meta.model_name}", name


def is_offered(client: Client, model: str, action: str) -> bool:
    """Say whether the list of this model offers the action in this client."""
    response = client.get(reverse(f"admin:{model}_changelist"))
    return f'<option value="{action}">' in response.content.decode()


def run(client: Client, model: str, action: str, row: Any) -> Any:
    """Return the answer to running an action on one row, and all that is in the database then."""
    data = {"action": action, "_selected_action": [str(row.pk)]}
    with transaction.atomic():
        response = client.post(reverse(f"admin:{model}_changelist"), data)
        left = contents()
        transaction.set_rollback(True)
    return response, left


def contents() -> dict[str, list[Any]]:
    """Return every row of every table but those of sessions."""
    return {
        one._meta.label: list(one._base_manager.order_by("pk").values())
        for one in apps.get_models()
        if one._meta.managed and one._meta.label != "sessions.Session"
    }


def test_every_action_has_a_row_and_none_deletes() -> None:
    names = {f"{model}.{name}" for model, name in actions()}
    told = table(ACTIONS).keys()
    assert not names - told, f"Say in ACTIONS of {HERE} who may run {sorted(names - told)}"
    assert not told - names, f"No list has these actions any more: {sorted(told - names)}"
    assert not [one for one in names if one.endswith(".delete_selected")]


def test_who_is_offered_an_action_and_nobody_else_can_run_it(rows: Rows, six: list[Client]) -> None:
    wrong = []
    before = contents()
    for model, name in actions():
        cell = ""
        for client in six:
            cell += "o" if is_offered(client, model, name) else "-"
            response, left = run(client, model, name, rows[model])
            assert cell[-1] == "o" or left == before, f"{model}.{name} ran for one who may not"
            assert cell[-1] == "-" or response.status_code in (200, 302)
        if [cell] != (told := table(ACTIONS)[f"{model}.{name}"]):
            wrong.append(f"{model}.{name}: {cell}, and the table says {told}")
    assert not wrong, "\n".join([f"Not as ACTIONS of {HERE} has it:", *wrong])


def test_who_may_only_view_is_offered_no_action_and_can_run_none(rows: Rows) -> None:
    user = get_user_model().objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = client_for(user)
    before = contents()
    for model, name in actions():
        assert client.get(reverse(f"admin:{model}_changelist")).status_code == 200
        assert not is_offered(client, model, name), f"{model}.{name}"
        _, left = run(client, model, name, rows[model])
        assert left == before, f"{model}.{name} ran"


def test_deleting_is_offered_on_no_list(rows: Rows) -> None:
    user = get_user_model().objects.create_user("root", is_staff=True, is_superuser=True)
    client = client_for(user)
    before = contents()
    for model in {
        name.removesuffix("_changelist") for name in url_names() if "_changelist" in name
    }:
        assert not is_offered(client, model, "delete_selected")
        _, left = run(client, model, "delete_selected", rows[model])
        assert left == before
