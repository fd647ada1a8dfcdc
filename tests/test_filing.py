"""By what lists find a lead: the codes found when it was judged last, and the key of its name."""

from datetime import timedelta

import pytest
from django.utils import timezone

from leadping.jobs.tasks import enqueue
from leadping.jobs.worker import Loop
from leads.models import WITHOUT_PERSON, Lead
from leads.normalize import NAME_KEY_MAX_LENGTH, name_key
from leads.reviews import FOUND_MAX_LENGTH, found_in
from sources.rules import Mode, Rule
from tests.factories import Door, make_source, make_tombstone, suppress


@pytest.mark.parametrize(
    ("names", "key"),
    [
        (("Lovelace", "Ada"), "lovelace ada"),
        (("", "Ada"), "ada"),
        (("Lovelace", ""), "lovelace"),
        (("  O’Brien-Smith ", "Mary  Ann"), "o'brien-smith mary ann"),
        (("Smith, Jr.", "Ada"), "smith jr. ada"),
        (("García Márquez", "JOSÉ"), "garcia marquez jose"),
        (("Strauß", "Zoë"), "strauss zoe"),
        (("Lo\u200bve\u202elace", "\ufeffAda"), "lovelace ada"),
        (("", ""), ""),
    ],
)
def test_names_are_searched_without_case_accents_and_what_is_not_seen(
    names: tuple[str, str], key: str
) -> None:
    assert name_key(*names) == key


def test_the_longest_names_have_a_key_that_fits() -> None:
    assert len(name_key("ß" * 100, "ﷺ" * 100)) <= NAME_KEY_MAX_LENGTH


def test_what_was_found_is_told_in_the_published_order_and_fits() -> None:
    rows = [{"code": rule.value, "mode": "reject"} for rule in reversed(Rule)]
    assert found_in(rows).split() == [f"{rule.value}:reject" for rule in Rule]
    assert len(found_in(rows)) <= FOUND_MAX_LENGTH
    assert found_in([]) == ""


@pytest.mark.django_db
def test_a_lead_is_filed_on_arrival_and_by_every_judgement() -> None:
    door = Door(make_source(is_trusted_form_required=True, modes={Rule.STATE_MISMATCH: Mode.FLAG}))
    door.send(lastName="Lovelace", state="TX", zip="10001")
    lead = Lead.objects.get()
    assert lead.name_key == "lovelace ada"
    assert lead.found == "consent-missing:hold state-mismatch:flag"
    lead.source.set_mode(Rule.STATE_MISMATCH, Mode.OFF)
    lead.release(None, "", "Checked.")
    lead.refresh_from_db()
    assert lead.found == "consent-missing:hold"
    suppress(lead.phone, door.source.business)
    lead.refresh_from_db()
    assert (lead.found, lead.desk_tab) == ("consent-missing:hold suppressed:hold", "suppressed")


@pytest.mark.django_db
def test_an_erased_lead_has_no_name_to_search_by() -> None:
    Door(make_source()).send(lastName="Lovelace")
    assert WITHOUT_PERSON["name_key"] == ""
    assert make_tombstone(Lead.objects.get()).name_key == ""


@pytest.mark.django_db
def test_a_lead_that_was_released_does_not_get_its_old_findings_back() -> None:
    door = Door(make_source())
    entry = suppress("512-555-0137", door.source.business, kind="internal")
    door.send()
    lead = Lead.objects.get()
    assert lead.found == "suppressed:hold"
    entry.release(None, "Another person.")
    lead.release(None, "", "Checked.")
    lead.refresh_from_db()
    assert lead.found == ""
    enqueue("file-leads")
    Loop().run(is_once=True)
    lead.refresh_from_db()
    assert lead.found == ""


@pytest.mark.django_db
def test_leads_of_processes_with_the_code_of_before_are_filed_later() -> None:
    door = Door(make_source(is_trusted_form_required=True))
    for number in range(3):
        door.send(phone=f"512555013{number}", email=None, lastName="Lovelace")
    new, old, erased = Lead.objects.order_by("id")
    make_tombstone(erased)
    Lead.objects.update(name_key="", found="")
    Lead.objects.filter(id=old.id).update(received_at=timezone.now() - timedelta(days=1))
    enqueue("file-leads")
    Loop().run(is_once=True)
    new.refresh_from_db()
    old.refresh_from_db()
    assert (new.name_key, new.found) == ("lovelace ada", "consent-missing:hold")
    assert (old.name_key, old.found) == ("", "")  # the migration has met it
