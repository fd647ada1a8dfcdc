"""What fills a database for measuring leaves it as whole as it was, and its rows agree."""

from typing import Any

import pytest
from django.db import connection
from django.db.models import F

from bench.load import NotLoaded, load
from intake.models import Post
from leads.models import Lead, LookBack, Review, Suppression
from leads.normalize import name_key
from leads.reviews import desk_tab_of, found_in
from sources.models import Source


def objects() -> list[Any]:
    """Return the name of each index and constraint, with what it is of and whether it holds."""
    with connection.cursor() as cursor:
        # Not the condition of an index, in which PostgreSQL writes a list in two ways.
        cursor.execute(
            "SELECT split_part(indexdef, ' WHERE ', 1), '' FROM pg_indexes UNION ALL "
            "SELECT conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid) "
            "FROM pg_constraint ORDER BY 1, 2"
        )
        return list(cursor.fetchall())


@pytest.fixture
def before(db: None) -> list[Any]:
    found = objects()
    load(leads=4000, days=30, seed=7)
    return found


def test_a_database_is_filled_with_rows_that_agree(before: list[Any]) -> None:
    assert objects() == before
    with pytest.raises(NotLoaded, match="leads already"):
        load(leads=1000)

    leads = list(Lead.objects.prefetch_related("reviews", "posts"))
    assert len(leads) == 4000
    shares = {one: sum(lead.compliance_status == one for lead in leads) for one in Lead.Status}
    assert 3150 < shares[Lead.Status.APPROVED] < 3400
    assert 350 < shares[Lead.Status.BLOCKED] < 700
    for lead in leads:
        assert lead.id.int >> 80 == int(lead.received_at.timestamp() * 1000 + 0.5)
        first = min(lead.posts.all(), key=lambda one: one.received_at)
        assert first.received_at == lead.received_at
        assert first.outcome == ("blocked" if lead.findings and is_held(lead) else "approved")
        last = max(lead.reviews.all(), key=lambda one: one.at, default=None)
        assert last is None or last.status_after == lead.compliance_status
        assert lead.found == found_in(last.findings_after if last else lead.findings)
        assert lead.erased_at or lead.name_key == name_key(lead.last_name, lead.first_name)
        if lead.compliance_status == "Blocked" and not lead.is_test:
            assert lead.desk_tab == desk_tab_of(last.findings_after if last else lead.findings)
        else:
            assert lead.desk_tab is None
    known = {str(one) for one in Lead.objects.values_list("id", flat=True)}
    entries = {str(one) for one in Suppression.objects.values_list("id", flat=True)}
    assert len(entries) == 200
    for one in (finding for lead in leads for finding in lead.findings):
        assert {named["lead"] for named in one["evidence"].get("leads", [])} <= known
        told = one["evidence"].get("suppressions", [])
        assert {named["suppression"] for named in told} <= entries
    assert Post.objects.filter(outcome="repeated", received_at__gt=F("lead__received_at")).exists()
    assert Post.objects.without_new_lead().filter(lead=None, answer__isnull=False).exists()
    assert LookBack.objects.count() == Review.objects.filter(decision="suppress").count()
    assert Source.history.count() > 2 * Source.objects.count()


def is_held(lead: Lead) -> bool:
    return any(one["mode"] == "hold" for one in lead.findings)
