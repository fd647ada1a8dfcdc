"""Each look-up of a post uses its index at a million leads and suppressions, on PostgreSQL."""

import re
from typing import Any

import pytest
from django.core import signing
from django.db import connection, models, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from intake import store
from intake.models import RateWindow
from leads import caps
from leads.caps import CapCounter, periods_of
from leads.facts import parameters
from leads.lookback import approved_of
from leads.models import Lead, Suppression
from sources.keys import digest
from sources.models import Source, SourceKey
from sources.sql import quoted
from tests.api import Api
from tests.factories import CERTIFICATE, Door, make_source

MILLION = 1_000_000

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]


def load(model: type[models.Model], **values: str) -> None:
    """Insert a million rows, number n with these columns as SQL and the rest at their defaults."""
    names, selected = [], []
    for field in model._meta.concrete_fields:
        default = "NULL" if field.null else "''"
        if isinstance(field, models.JSONField):
            default = "'{}'::jsonb"
        elif isinstance(field, models.BooleanField) and not field.null:
            default = "false"
        names.append(quoted(field.column))
        selected.append(values.pop(field.name, default))
    assert not values, values
    table = quoted(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s "
            "AND indexname NOT LIKE '%%_pkey'",
            [model._meta.db_table],
        )
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {quoted(name)}")
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(names)}) "
            f"SELECT {', '.join(selected)} FROM generate_series(1, {MILLION}) AS n"
        )
        for _, definition in indexes:
            cursor.execute(definition)
        cursor.execute(f"ANALYZE {table}")


@pytest.fixture
def crowded() -> Source:
    """Return a source among a million leads and suppressions, most of them of its business."""
    source = make_source(duplicate_scope="business", daily_cap=10, monthly_cap=100)
    others = [make_source(business=source.business) for _ in range(5)]
    ids = ", ".join(f"'{one.id}'::uuid" for one in (source, *others))
    random_hex = "md5(n::text) || substr(md5((n + 1)::text), 1, 8)"
    load(
        Lead,
        id="gen_random_uuid()",
        business=f"'{source.business_id}'::uuid",
        source=f"(ARRAY[{ids}])[1 + n % 6]",
        received_at="now() - n * interval '3 seconds'",
        judged_at="now() - n * interval '3 seconds'",
        approved_at="CASE WHEN n % 10 > 0 THEN now() - n * interval '3 seconds' END",
        compliance_status="CASE WHEN n % 10 > 0 THEN 'Approved' ELSE 'Blocked' END",
        compliance_blocked_reason="CASE WHEN n % 10 > 0 THEN '' ELSE 'Some reason.' END",
        findings="'[]'::jsonb",
        sms_consent_status="'Unknown'",
        external_id="'x-' || n",
        idempotency_key="'k-' || n",
        phone="'+1512' || (5000000 + n)",
        posted_phone="'+1512' || (5000000 + n)",
        email="'p' || n || '@example.com'",
        email_key="'p' || n || '@example.com'",
        posted_email_key="'p' || n || '@example.com'",
        certificate_id=random_hex,
    )
    load(
        Suppression,
        id="gen_random_uuid()",
        business=f"CASE WHEN n % 2 > 0 THEN '{source.business_id}'::uuid END",
        phone="'+1713' || (5000000 + n)",
        email_key="'q' || n || '@example.com'",
        channel="'all'",
        kind="CASE WHEN n % 2 > 0 THEN 'opt-out' ELSE 'dnc-registry' END",
        list_name="CASE WHEN n % 2 > 0 THEN '' ELSE 'National' END",
        listed_on="CASE WHEN n % 2 > 0 THEN NULL ELSE current_date END",
        suppressed_at="now()",
        created_at="now()",
        released_at="CASE WHEN n % 5 = 0 THEN now() END",
        release_reason="CASE WHEN n % 5 = 0 THEN 'Some reason.' ELSE '' END",
        release_evidence="CASE WHEN n % 5 = 0 THEN 'Some evidence.' ELSE '' END",
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {CapCounter._meta.db_table} (id, source_id, version, period, used) "
            "SELECT gen_random_uuid(), %s, gen_random_uuid(), '2026-11', 1 "
            "FROM generate_series(1, 20000)",
            [source.id],
        )
        cursor.execute(f"ANALYZE {CapCounter._meta.db_table}")
    return source


def plan_of(sql: str, values: dict[str, Any], mode: str) -> tuple[str, float]:
    """Return the plan of a prepared statement as a text, and the milliseconds that it ran.

    `mode`: a `plan_cache_mode` of PostgreSQL, which plans for these values or for any.
    """
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", sql)))
    for number, name in enumerate(names, start=1):
        sql = sql.replace(f"%({name})s", f"${number}")
    with connection.cursor() as cursor:
        cursor.execute(f"SET plan_cache_mode = {mode}")
        cursor.execute(f"PREPARE post AS {sql}")
        given = ", ".join(literal(values[name]) for name in names)
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) EXECUTE post ({given})")
        plan = "\n".join(row[0] for row in cursor.fetchall())
        cursor.execute("DEALLOCATE post")
        cursor.execute("RESET plan_cache_mode")
    took = re.search(r"Execution Time: ([0-9.]+) ms", plan)
    assert took
    return plan, float(took[1])


def literal(value: Any) -> str:
    """Return a value as SQL."""
    return str(value).lower() if isinstance(value, bool) else f"'{value}'"


def one_lead(source: Source) -> Lead:
    """Return a lead whose person is known, suppressed, and whose certificate came before."""
    known = Lead.objects.filter(compliance_status="Approved", source=source).latest("received_at")
    entry = Suppression.objects.active().filter(business=source.business).first()
    assert entry
    return Lead(
        source=source,
        business=source.business,
        received_at=timezone.now(),
        phone=known.phone,
        posted_phone=known.phone,
        email_key=entry.email_key,
        posted_email_key=entry.email_key,
        certificate_id=known.certificate_id,
        external_id=known.external_id,
        idempotency_key=known.idempotency_key,
    )


EXPECTED = {
    "leads_lead": {
        *("lead_of_phone", "lead_of_email", "lead_of_certificate"),
        *("lead_idempotency_key_unique", "lead_external_id_unique"),
    },
    "leads_suppression": {"suppression_of_phone", "suppression_of_email"},
    "leads_capcounter": {"cap_counter_of_period_once"},
}


def test_every_look_up_of_a_post_uses_its_index_at_a_million_rows(crowded: Source) -> None:
    key, text = crowded.issue_key()
    periods = periods_of(crowded, timezone.now())
    someone, nobody = one_lead(crowded), Lead(source=crowded, business=crowded.business)
    with transaction.atomic():
        state = store.gather(key.id, someone, crowded, periods)
    assert state
    assert state.lead_of_key == state.lead_of_external_id is not None
    assert state.lookups.known
    assert state.lookups.entries
    assert state.lookups.reuses

    sql = store.gathering(connection.vendor, True).sql
    for lead in (someone, nobody):
        values = {
            **parameters(lead, crowded, periods),
            "key": key.id,
            "idempotency_key": lead.idempotency_key,
            "external_id": lead.external_id,
            "is_test": False,
        }
        for mode in ("force_custom_plan", "force_generic_plan"):
            plan, took_ms = plan_of(sql, values, mode)
            print(f"{mode}: {took_ms} ms")
            for table, indexes in EXPECTED.items():
                assert f"Seq Scan on {table}" not in plan, plan
                missed = [one for one in indexes if one not in plan]
                assert not missed or lead is nobody, (missed, plan)

    members = {"phone": someone.phone, "email": someone.email_key, "trustedFormUrl": CERTIFICATE}
    response = Door(crowded, text).send(**members)
    assert response.headers["Leadping-Findings"] == "not-accepted, duplicate, over-cap"
    # a piece of a list that is imported: who of them has an approved lead
    phones = [f"+1512{5_000_000 + number}" for number in range(1001, 501_001, 1000)]
    for business in (crowded.business, None):
        with transaction.atomic(), CaptureQueriesContext(connection) as queries:
            assert len(approved_of(business, phones, [])) == 500
        explain_all(queries)
    # once a day and month: the counter begins with what was approved before
    with CaptureQueriesContext(connection) as queries:
        assert caps.approved_in(crowded, periods[1].starts_at, periods[1].ends_at) > 100
    explain_all(queries)

    keys_find_their_rows_by_an_index(crowded, text)
    far_pages_cost_as_the_first(crowded)


def keys_find_their_rows_by_an_index(crowded: Source, text: str) -> None:
    """Fail if a post or an answer looks through a table for what it has the key of."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {SourceKey._meta.db_table} "
            "(id, source_id, label, digest, preview, is_test, created_at) "
            "SELECT gen_random_uuid(), %s, '', md5(n::text), '', false, now() "
            "FROM generate_series(1, 20000) AS n",
            [crowded.id],
        )
        cursor.execute(
            f"INSERT INTO {RateWindow._meta.db_table} (subject, started_ms, used) "
            "SELECT 'source:' || n, 0, 1 FROM generate_series(1, 20000) AS n"
        )
        cursor.execute(f"ANALYZE {SourceKey._meta.db_table}, {RateWindow._meta.db_table}")
    lead = Lead.objects.latest("received_at")
    with CaptureQueriesContext(connection) as queries:
        assert SourceKey.objects.get(digest=digest(text)).source_id == crowded.id
        assert Lead.objects.get(id=lead.id) == lead
    sql = [one["sql"] for one in queries.captured_queries]
    sql.append(store.using("postgresql")[1].sql.replace("%s", "'source:1'"))
    for one, index in zip(sql, ("digest", "leads_lead_pkey", "intake_ratewindow"), strict=True):
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {one}")
            plan = "\n".join(row[0] for row in cursor.fetchall())
        assert "Seq Scan" not in plan, plan
        assert re.search(rf"Index.* using \S*{index}", plan), plan


def far_pages_cost_as_the_first(crowded: Source) -> None:
    """Fail if a list in the API reads more of the table of leads for a page that is far into it."""
    api = Api(crowded.business)
    page = api.post("/leads/all/my", {"pageSize": 100}).json()
    salt = f"leadping.api.leads.{crowded.business_id}"
    print_of, *_ = signing.loads(page["continuationToken"], salt=salt)
    read = []
    for skipped in (100, 100_000, 900_000):
        at = Lead.objects.order_by("-received_at").values_list("received_at", "id")[skipped]
        token = signing.dumps([print_of, at[0].isoformat(), str(at[1])], salt=salt)
        with CaptureQueriesContext(connection) as queries:
            answer = api.post("/leads/all/my", {"pageSize": 100, "continuationToken": token})
        assert len(answer.json()["items"]) == 100
        told = [one["sql"] for one in queries.captured_queries if "leads_lead" in one["sql"]]
        read.append(sum(blocks_of(sql) for sql in told if sql.startswith("SELECT")))
    print(f"blocks read for a page: {read}")
    assert max(read) < 1.2 * read[0], read


def blocks_of(sql: str) -> int:
    """Return how many blocks a statement reads."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}")
        ((found,),) = cursor.fetchall()
    plan = found[0]["Plan"]
    assert "Seq Scan on leads_lead" not in str(found)
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def explain_all(queries: CaptureQueriesContext) -> None:
    """Fail if any of these statements reads the whole table of leads."""
    for one in list(queries.captured_queries):
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {one['sql']}")
            plan = "\n".join(row[0] for row in cursor.fetchall())
        assert "Seq Scan on leads_lead" not in plan, plan
