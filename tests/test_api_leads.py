"""Leads in the read API: read, listed, changed, tagged, archived and deleted."""

import pytest

from leads.changes import LeadChange
from leads.models import Disclosure, Lead
from tests.api import Api
from tests.factories import Door

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(door: Door) -> Api:
    """Return a client with every scope."""
    return Api(door.source.business)


def test_a_lead_that_is_read_and_put_back_changes_nothing(door: Door, api: Api) -> None:
    path = f"/leads/{door.send(price='12.5').json()['id']}"
    for one in (api, Api(door.source.business, ["leads:read", "leads:write"])):
        back = one.put(path, one.get(path).json())
        assert back.status_code == 200
        assert back.json()["modifiedAt"] is None
    assert not LeadChange.objects.exists()


def test_a_lead_is_changed_on_record(door: Door, api: Api) -> None:
    path = f"/leads/{door.send().json()['id']}"
    put = api.put(path, {"contact": {"firstName": "Eve", "phone": {"number": "5125550199"}}})
    assert put.json()["contact"]["firstName"] == "Eve"
    assert put.json()["contact"]["phone"]["number"] == "+15125550199"
    (row,) = LeadChange.objects.all()
    assert row.before == {"first_name": "Ada", "phone": "+15125550137"}
    assert row.after == {"first_name": "Eve", "phone": "+15125550199"}
    assert (row.by, row.token) == (api.token.created_by, api.token)  # type: ignore[union-attr]


def test_without_personal_data_a_person_is_masked_and_may_not_be_changed(door: Door) -> None:
    path = f"/leads/{door.send().json()['id']}"
    api = Api(door.source.business, ["leads:read", "leads:write"])
    read = api.get(path)
    assert read.json()["contact"]["phone"]["number"] == "+1512•••••37"
    assert read.headers["Leadping-Masked"] == "true"
    put = api.put(path, {"contact": {"firstName": "Eve"}})
    assert put.status_code == 403
    assert put.headers["Leadping-Problem"] == "insufficient-scope"
    assert Lead.objects.get().first_name == "Ada"
    assert not Disclosure.objects.exists()
