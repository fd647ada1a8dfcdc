"""Fill a migrated PostgreSQL with believable data: `python -m bench.load --leads 1000000`.

Sources, their keys and history by the models, all else by statements over whole sets. What a row
looks like is what intake, the desk and the look-back would have written of it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leadping.settings")
    django.setup()

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import connection, models, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from intake import rollup
from intake.models import Post, RefusalCount
from intake.problems import PROBLEM_TYPES
from leads.compliance import RULES
from leads.models import (
    WITHOUT_PERSON,
    Disclosure,
    Lead,
    LookBack,
    RegistryList,
    Review,
    Suppression,
    to_millisecond,
)
from leads.reviews import desk_tab_of, found_in
from sources.models import Business, Source, Tag, Vendor
from sources.rules import RULES_VERSION, Mode, Rule
from sources.sql import quoted


class NotLoaded(Exception):
    """Nothing is loaded, and nothing has changed."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One fate of a lead: how many of a hundred meet it, and by which rule."""

    name: str
    share: float
    rule: Rule | None = None
    mode: Mode = Mode.HOLD

    @property
    def findings(self) -> list[dict[str, Any]]:
        """Return what is found, as it is kept, without its evidence."""
        if self.rule is None:
            return []
        kind = RULES[self.rule]
        return [
            {
                "code": self.rule.value,
                "mode": self.mode.value,
                "sentence": kind.sentence,
                "overrule": kind.overrule.value,
            }
        ]

    @property
    def tab(self) -> str:
        """Return on which tab of the desk such a lead comes, "" if it is not blocked."""
        is_held = self.rule is not None and self.mode == Mode.HOLD
        return desk_tab_of(self.findings) if is_held else ""


KINDS = (
    Kind("mismatch", 1.5, Rule.STATE_MISMATCH, Mode.FLAG),
    # Nobody decides these: they stay blocked, each on its tab.
    Kind("duplicate", 6.5, Rule.DUPLICATE),
    Kind("over-cap", 2.3, Rule.OVER_CAP),
    Kind("suppressed", 2.0, Rule.SUPPRESSED),
    Kind("underage", 0.7, Rule.UNDERAGE),
    # The queue of the desk, most of it decided since.
    Kind("no-consent", 3.0, Rule.CONSENT_MISSING),
    Kind("state", 2.5, Rule.STATE_NOT_ALLOWED),
    Kind("phone", 1.2, Rule.PHONE_INVALID),
    Kind("registry", 1.0, Rule.ON_DNC_REGISTRY),
    Kind("reused", 0.8, Rule.CONSENT_REUSED),
    Kind("product", 0.5, Rule.PRODUCT_NOT_ALLOWED),
    # Let out, and suppressed since.
    Kind("looked-back", 0.04),
)
CLEAN = Kind("clean", 100 - sum(one.share for one in KINDS))
WAITING_AT_MOST = 3000
REPEATS, REFUSED = 0.04, 0.05  # of the leads
# How often of a hundred a refused post is refused so.
REFUSALS = {
    "invalid-lead": 52,
    "malformed-body": 14,
    "not-accepted": 12,
    "duplicate": 10,
    "external-id-conflict": 6,
    "unsupported-media-type": 3,
    "source-disabled": 2,
    "body-too-large": 1,
}
# More or less of a day's leads come in each hour, UTC; the people sit between New York and LA.
BY_HOUR = (5, 4, 3, 2, 1, 1, 1, 1, 1, 1, 2, 4, 8, 12, 15, 16, 16, 16, 15, 15, 14, 12, 10, 7)
BY_WEEKDAY = (10, 11, 11, 10, 9, 5, 4)

FIRST_NAMES = (
    "Ada Ben Carla Dev Elena Femi Grace Hugo Iris Jon Kira Luis Maya Noor Omar Pia Quinn Rosa Sam "
    "Tara Uma Victor Wendy Ximena Yusuf Zoe Aaron Beth Chen Dina Eric Fay Greg Hana Ivan Jade Karl "
    "Lena Marco Nina Otis Paula Ravi Sofia Theo Vera Will Yara"
).split()
LAST_NAMES = (
    "Abbott Baker Castillo Diaz Ellis Fong Garcia Hill Ivers Jones Khan Lopez Mora Nguyen Ortiz "
    "Patel Quigley Ramos Smith Torres Underwood Vargas Walker Xu Young Zimmer Adams Brooks Cruz "
    "Dunn Evans Flores Green Hughes Irwin Jensen Kim Lee Miller Novak Olsen Price Reyes Silva Tran "
    "Ueda Vance White Yang Zapata"
).split()
# City, state, the first three digits of its ZIPs, area code.
PLACES = (
    *(("Austin", "TX", "787", "512"), ("Houston", "TX", "770", "713")),
    *(("Dallas", "TX", "752", "214"), ("San Antonio", "TX", "782", "210")),
    *(("Los Angeles", "CA", "900", "213"), ("San Diego", "CA", "921", "619")),
    *(("Sacramento", "CA", "958", "916"), ("Fresno", "CA", "937", "559")),
    *(("Phoenix", "AZ", "850", "602"), ("Tucson", "AZ", "857", "520")),
    *(("Denver", "CO", "802", "303"), ("Miami", "FL", "331", "305")),
    *(("Tampa", "FL", "336", "813"), ("Orlando", "FL", "328", "407")),
    *(("Atlanta", "GA", "303", "404"), ("Chicago", "IL", "606", "312")),
    *(("Columbus", "OH", "432", "614"), ("Tulsa", "OK", "741", "918")),
    *(("Brooklyn", "NY", "112", "718"), ("Buffalo", "NY", "142", "716")),
    *(("Charlotte", "NC", "282", "704"), ("Seattle", "WA", "981", "206")),
    *(("Portland", "OR", "972", "503"), ("Las Vegas", "NV", "891", "702")),
    *(("Nashville", "TN", "372", "615"), ("Detroit", "MI", "482", "313")),
)
VERTICALS = {
    "Home": ("Solar", "Roofing", "Windows"),
    "Insurance": ("Auto insurance", "Home insurance", "Life insurance"),
    "Health": ("Medicare", "ACA", "Dental"),
}
BUSINESSES = ("Lone Star Home Services", "Bright Roof Partners", "Harbor Insurance", "Clearview")
VENDORS = (
    *("Sunrise Forms", "Bayline Media", "Homeward Partners", "Leadstream", "Quote Canyon"),
    *("Northgate Digital", "Maple Ads", "Firefly Clicks", "Trueline", "Cobalt Reach"),
    *("Open Porch", "Juniper Labs"),
)
STAFF = ("mary", "noah", "olga", "pavel", "rita")
RELEASE_REASONS = ("Called back, the person confirmed.", "Certificate was sent after.", "Checked.")
REJECT_REASONS = ("No consent on file.", "Outside the agreed states.", "Number does not work.")
# Local numbers: a bijection of the number of a person, so that no two people share a phone.
NUMBERS, STEP = 7_999_993, 4_999_999


def texts(values: Iterable[str]) -> str:
    """Return an array of texts as SQL."""
    return "ARRAY[" + ", ".join(map(text, values)) + "]::text[]"


def text(value: str) -> str:
    """Return a text as SQL."""
    return "'" + value.replace("'", "''") + "'"


def thresholds(shares: Iterable[float]) -> str:
    """Return where in 0 to 1 each share but the first begins, for width_bucket, as SQL."""
    given = list(shares)
    total = sum(given)
    sums = [sum(given[: number + 1]) / total for number in range(len(given) - 1)]
    return "ARRAY[" + ", ".join(f"{one:.9f}" for one in sums) + "]::float8[]"


def chance(salt: int) -> str:
    """Return a number from 0 to 1 for lead n, as SQL; another for each salt."""
    return f"((hashint8(n + {salt}) & 1048575) / 1048576::float8)"


class Loader:
    """What one loading needs in every step; `said` collects what was made."""

    def __init__(self, leads: int, days: int, sources: int, seed: int, now: datetime) -> None:
        self.leads, self.days, self.seed = leads, days, seed
        self.chance = random.Random(seed)
        self.source_count = sources
        self.now = now
        self.starts_at = now - timedelta(days=days)
        self.suppressions = leads // 20
        self.said: dict[str, int] = {}

    def run(self, sql: str) -> int:
        """Run a statement and return of how many rows it was."""
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return int(cursor.rowcount)

    def insert(self, model: type[models.Model], rows: str, **values: str) -> None:
        """Insert a row for each of `rows`, with these columns as SQL, the others empty."""
        names, selected = [], []
        for field in model._meta.concrete_fields:
            default = "NULL" if field.null else "''"
            if isinstance(field, models.JSONField):
                default = "NULL" if field.null else "'{}'::jsonb"
            elif isinstance(field, models.BooleanField) and not field.null:
                default = "false"
            names.append(quoted(field.column))
            selected.append(values.pop(field.name, default))
        assert not values, values
        table = quoted(model._meta.db_table)
        count = self.run(
            f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(selected)} {rows}"
        )
        name = str(model._meta.verbose_name_plural)
        self.said[name] = self.said.get(name, 0) + count

    # --- who and what there is ------------------------------------------------------------------

    def make_staff(self) -> list[int]:
        """Return the ids of members of staff, who review."""
        users = get_user_model().objects
        people = [
            users.get_or_create(username=name, defaults={"is_staff": True})[0] for name in STAFF
        ]
        for group in Group.objects.filter(name="Compliance reviewer"):
            group.user_set.add(*people)
        return [one.pk for one in people]

    def make_sources(self) -> None:
        """Make businesses, vendors and sources with keys and a history; tell the database of them.

        Source number n, of all, gets a share of the leads that falls with n.
        """
        businesses = [Business.objects.get_or_create(name=name)[0] for name in BUSINESSES]
        vendors = [Vendor.objects.get_or_create(name=name)[0] for name in VENDORS]
        for one in businesses:
            for name in ("web form", "call centre", "spring"):
                Tag.objects.get_or_create(business=one, name=name)
        rows = []
        for number in range(self.source_count):
            vertical = list(VERTICALS)[number % len(VERTICALS)]
            vendor = vendors[number % len(vendors)]
            source = self.make_source(number, businesses[number % 4], vendor, vertical)
            key, _ = source.issue_key(label="production", expires_at=self.key_end(number))
            test_key, _ = source.issue_key(label="tests", is_test=True)
            old_key, _ = source.issue_key(label="before")
            old_key.revoke(self.now - timedelta(days=self.days / 3))
            states = texts(source.allowed_states or ["TX", "CA", "FL"])
            rows.append(
                f"({number + 1}, '{source.id}'::uuid, '{source.business_id}'::uuid, "
                f"'{key.id}'::uuid, '{test_key.id}'::uuid, '{RULES_VERSION}/{source.version}', "
                f"{source.is_sms_consent_covered}, {text(vertical)}, "
                f"{texts(VERTICALS[vertical])}, {states}, {source.daily_cap or 400})"
            )
        self.said["sources"] = len(rows)
        self.run(
            "CREATE TEMP TABLE bench_source (i, source_id, business_id, key_id, test_key_id, "
            "rules_version, is_covered, vertical, products, states, cap) ON COMMIT DROP AS "
            f"VALUES {', '.join(rows)}"
        )
        self.age_history()

    def make_source(self, number: int, business: Business, vendor: Vendor, vertical: str) -> Source:
        """Return a source that has been changed a few times since it was made."""
        source = Source.objects.create(
            business=business,
            vendor=vendor,
            name=f"{vendor.name} {vertical.lower()} {number + 1}",
            created_at=self.starts_at - timedelta(days=30),
            default_vertical=vertical,
            is_sms_consent_covered=number % 3 > 0,
            is_trusted_form_required=number % 4 > 0,
            duplicate_scope="business" if number % 5 == 0 else "source",
            cost_per_lead=f"{self.chance.randrange(400, 4000) / 100:.2f}",
        )
        if number != self.source_count - 1:  # one waits for its review
            approved_at = self.starts_at - timedelta(days=20)
            source.approve(None, "Consent wording and landing page read.", approved_at)
        for cap in (None, 400, 600)[: 1 + number % 3]:
            source.daily_cap = cap
            source.allowed_states = self.chance.sample(sorted({one[1] for one in PLACES}), 8)
            source.rate_per_minute = self.chance.choice((300, 600, 1200))
            source.save()
        if number % 4 == 0:
            source.set_mode(Rule.UNDERAGE, Mode.REJECT)
            source.set_mode(Rule.PHONE_INVALID, Mode.FLAG)
        source.refresh_from_db()
        return source

    def key_end(self, number: int) -> datetime | None:
        """Return when the key of a source ends: of some never, of some soon."""
        return self.now + timedelta(days=5 + number) if number % 3 == 0 else None

    def age_history(self) -> None:
        """Spread what has just been changed over the time before."""
        start, days = f"'{self.starts_at.isoformat()}'::timestamptz", self.days
        for table, key in (
            ("sources_historicalsource", "id"),
            ("sources_historicalsourcerule", "source_id"),
            ("sources_historicalsourcekey", "source_id"),
        ):
            self.run(
                f"UPDATE {table} AS row SET history_date = {start} + aged.part * {days} "
                "* interval '1 day' FROM (SELECT history_id, (row_number() OVER of_one - 1.0) "
                f"/ count(*) OVER (PARTITION BY {key}) AS part FROM {table} "
                f"WINDOW of_one AS (PARTITION BY {key} ORDER BY history_date, history_id)) AS aged "
                "WHERE aged.history_id = row.history_id"
            )

    # --- what happened --------------------------------------------------------------------------

    def draw(self) -> None:
        """Draw when each lead came, by whom, of whom, and its fate; number them in time."""
        slots = int((self.now - self.starts_at).total_seconds() // 3600)
        weights = []
        for slot in range(slots):
            at = self.starts_at + timedelta(hours=slot)
            growth = 1 + slot / slots / 2  # business grows
            weights.append(BY_HOUR[at.hour] * BY_WEEKDAY[at.weekday()] * growth)
        kinds = (CLEAN, *KINDS)
        shares = [1 / (number + 1) ** 0.9 for number in range(self.source_count)]
        self.run(f"SELECT setseed({(self.seed % 1000) / 1000})")
        self.run(
            f"""CREATE TEMP TABLE bench_drawn ON COMMIT DROP AS
            SELECT row_number() OVER (ORDER BY at) AS n, * FROM (
                SELECT '{self.starts_at.isoformat()}'::timestamptz
                    + width_bucket(r1, {thresholds(weights)}) * interval '1 hour'
                    + floor(r2 * 3600000) * interval '1 millisecond' AS at,
                1 + width_bucket(r3, {thresholds(shares)}) AS i,
                ({texts(one.name for one in kinds)})[
                    1 + width_bucket(r4, {thresholds(one.share for one in kinds)})] AS kind,
                1 + floor(r5 * {len(PLACES)})::int AS place,
                1 + floor(r6 * {len(FIRST_NAMES)})::int AS f,
                1 + floor(r7 * {len(LAST_NAMES)})::int AS l,
                r8 < 0.005 AS is_test, r9, r10
                FROM (
                    SELECT random() r1, random() r2, random() r3, random() r4, random() r5,
                        random() r6, random() r7, random() r8, random() r9, random() r10
                    FROM generate_series(1, {self.leads})
                ) AS drawn
            ) AS numbered"""
        )
        # Before the first of its source there is nobody to be like.
        self.run(
            """UPDATE bench_drawn AS d SET kind = 'clean' FROM (
                SELECT i, min(n) AS n FROM bench_drawn WHERE kind = 'clean' GROUP BY i) AS first
            WHERE first.i = d.i AND d.n < first.n AND d.kind IN ('duplicate', 'reused')"""
        )
        self.run(
            """CREATE FUNCTION pg_temp.uuid7(at timestamptz, salt text) RETURNS uuid
            LANGUAGE sql AS $$
                SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
                    || substr(hashed, 1, 3)
                    || substr('89ab', 1 + ascii(substr(hashed, 4, 1)) % 4, 1)
                    || substr(hashed, 5, 15))::uuid
                FROM (SELECT md5(salt) AS hashed) AS of
            $$"""
        )

    def judge(self, staff: list[int]) -> None:
        """Make of each draw a person and a fate: whose twin it is, what is decided and when."""
        told = ", ".join(
            f"({text(one.name)}, {text(json.dumps(one.findings))}::jsonb, "
            f"{text(found_in(one.findings))}, {text(one.tab)}, "
            f"{text(RULES[one.rule].sentence if one.rule else '')})"
            for one in (CLEAN, *KINDS)
        )
        self.run(
            "CREATE TEMP TABLE bench_kind (kind, findings, found, tab, sentence) ON COMMIT DROP AS "
            f"VALUES {told}"
        )
        waiting = min(WAITING_AT_MOST, self.leads // 40)
        now = f"'{self.now.isoformat()}'::timestamptz"
        ids = "ARRAY[" + ", ".join(map(str, staff)) + "]"
        self.run(
            f"""CREATE TEMP TABLE bench_made ON COMMIT DROP AS
            SELECT d.*, k.tab, k.findings AS told, k.found, k.sentence,
                pg_temp.uuid7(d.at, 'l{self.seed}-' || d.n) AS id,
                pg_temp.uuid7(d.at, 'p{self.seed}-' || d.n) AS post_id,
                ({ids})[1 + d.n % {len(staff)}] AS by,
                count(*) FILTER (WHERE d.kind = 'clean')
                    OVER (PARTITION BY d.i ORDER BY d.n) AS clean_no,
                row_number() OVER (PARTITION BY k.tab = 'review' AND NOT d.is_test
                    ORDER BY d.n DESC) <= {waiting} AND NOT d.is_test AS is_new,
                least(d.at + (d.r9 * 70 + 1) * interval '1 hour',
                    {now} - d.r9 * interval '1 hour') AS then_at
            FROM bench_drawn AS d JOIN bench_kind AS k USING (kind)"""
        )
        self.run("ANALYZE bench_made")
        # The person of a duplicate, and the certificate of one that was used before, are of an
        # earlier lead of the same source.
        self.run(
            """CREATE TEMP TABLE bench_twin ON COMMIT DROP AS
            SELECT m.n, t.n AS twin_n, t.id, t.at, t.place, t.f, t.l
            FROM bench_made AS m JOIN bench_made AS t ON t.i = m.i AND t.kind = 'clean'
                AND t.clean_no = m.clean_no - floor(m.r10 * least(m.clean_no - 1, 60))::int
            WHERE m.kind IN ('duplicate', 'reused') AND m.clean_no > 0"""
        )
        self.run("ANALYZE bench_twin")
        self.run(
            f"""CREATE TEMP VIEW bench_person AS
            SELECT m.n, m.at, m.id, m.post_id, m.i, m.kind, m.tab, m.sentence, m.told, m.found,
                m.by, m.is_test, m.then_at, m.r9, m.r10, s.*, t.id AS twin_id, t.at AS twin_at,
                ({texts(FIRST_NAMES)})[who.f] AS first_name,
                ({texts(LAST_NAMES)})[who.l] AS last_name,
                ({texts(one[0] for one in PLACES)})[who.place] AS city,
                CASE WHEN m.kind = 'mismatch' THEN 'WY' ELSE
                    ({texts(one[1] for one in PLACES)})[who.place] END AS state,
                ({texts(one[2] for one in PLACES)})[who.place] || lpad((who.n % 90)::text, 2, '0')
                    AS zip,
                '+1' || ({texts(one[3] for one in PLACES)})[who.place] || CASE
                    WHEN m.kind = 'phone' THEN '1' || lpad((m.n % 1000000)::text, 6, '0')
                    ELSE (2000000 + who.n * {STEP} % {NUMBERS})::text END AS phone,
                lower(({texts(FIRST_NAMES)})[who.f] || '.' || ({texts(LAST_NAMES)})[who.l])
                    || who.n || '@' || ({texts(("example.com", "example.org", "mail.example"))})[
                    1 + who.n % 3] AS email,
                CASE WHEN m.kind = 'no-consent' OR (m.n % 11 = 0 AND m.kind <> 'reused') THEN ''
                    ELSE md5('c' || CASE WHEN m.kind = 'reused' THEN t.twin_n ELSE m.n END)
                    || substr(md5('d' || CASE WHEN m.kind = 'reused' THEN t.twin_n ELSE m.n END),
                    1, 8) END AS certificate,
                CASE WHEN m.kind = 'underage' THEN m.at::date - (3000 + m.n % 3000)::int
                    ELSE m.at::date - (7000 + m.n % 20000)::int END AS born,
                -- some values came in the first days only, as those that a list must find do
                CASE WHEN m.n < {self.leads // 20} AND m.n % 40 = 0 THEN 'Gutters'
                    ELSE s.products[1 + m.n % 3] END AS product,
                CASE WHEN m.n < {self.leads // 10} AND m.n % 30 = 0 THEN 99.5
                    ELSE round((4 + m.r9 * 40)::numeric, 2) END AS price,
                CASE WHEN m.n < {self.leads // 20} AND m.n % 25 = 0 THEN 'sub-old'
                    ELSE 'sub-' || 1 + m.n % 40 END AS sub_id,
                CASE WHEN m.tab = '' THEN 'Approved' WHEN m.tab <> 'review' OR m.is_new
                    OR m.is_test THEN 'Blocked' WHEN m.r10 < 0.4 THEN 'Approved' ELSE 'Rejected'
                    END AS became,
                m.tab = 'review' AND NOT m.is_new AND NOT m.is_test AS is_decided
            FROM bench_made AS m JOIN bench_source AS s USING (i)
                LEFT JOIN bench_twin AS t USING (n),
                LATERAL (SELECT CASE WHEN m.kind = 'duplicate' AND t.n IS NOT NULL
                    THEN t.twin_n ELSE m.n END AS n,
                    CASE WHEN m.kind = 'duplicate' THEN coalesce(t.f, m.f) ELSE m.f END AS f,
                    CASE WHEN m.kind = 'duplicate' THEN coalesce(t.l, m.l) ELSE m.l END AS l,
                    CASE WHEN m.kind = 'duplicate' THEN coalesce(t.place, m.place)
                        ELSE m.place END AS place) AS who""".replace("s.*", SOURCE_COLUMNS)
        )

    def make_suppressions(self, staff: list[int]) -> None:
        """Make the entries of those who were suppressed before, or since, and of strangers."""
        now = f"'{self.now.isoformat()}'::timestamptz"
        ids = "ARRAY[" + ", ".join(map(str, staff)) + "]"
        kinds = texts(("opt-out", "opt-out", "opt-out", "revocation", "complaint", "litigator"))
        self.run(
            f"""CREATE TEMP TABLE bench_entry ON COMMIT DROP AS
            SELECT n, by, phone, CASE WHEN n % 3 = 0 THEN email ELSE '' END AS email_key,
                CASE WHEN kind <> 'registry' THEN business_id END AS business_id,
                CASE WHEN kind = 'registry' THEN 'dnc-registry' ELSE ({kinds})[1 + n % 6] END
                    AS kind,
                CASE WHEN kind = 'looked-back' THEN then_at
                    ELSE at - (r9 * 60 + 1) * interval '1 day' END AS created_at, r10
            FROM bench_person WHERE kind IN ('suppressed', 'registry', 'looked-back')"""
        )
        known = self.run("SELECT 1 FROM bench_entry")
        self.run(
            f"""INSERT INTO bench_entry
                (n, by, phone, email_key, business_id, kind, created_at, r10)
            SELECT -k, ({ids})[1 + k % {len(staff)}],
                '+1' || ({texts(one[3] for one in PLACES)})[1 + k % {len(PLACES)}]
                    || (2000000 + ({self.leads}::bigint + k) * {STEP} % {NUMBERS}),
                CASE WHEN k % 4 = 0 THEN 'stranger' || k || '@example.net' ELSE '' END,
                CASE WHEN k % 5 > 0 THEN s.business_id END,
                CASE WHEN k % 5 > 0 THEN ({kinds})[1 + k % 6] ELSE 'dnc-registry' END,
                {now} - random() * {self.days * 4} * interval '1 day', random()
            FROM generate_series(1, {max(self.suppressions - known, 0)}) AS k
            JOIN bench_source AS s ON s.i = 1 + k % {self.source_count}"""
        )
        released = "r10 < 0.06 AND n < 0"
        self.insert(
            Suppression,
            "FROM bench_entry ORDER BY created_at",
            id=f"pg_temp.uuid7(created_at, 's{self.seed}' || n)",
            business="business_id",
            phone="phone",
            email_key="email_key",
            channel="'all'",
            kind="kind",
            list_name="CASE WHEN business_id IS NULL THEN 'National' ELSE '' END",
            listed_on=f"CASE WHEN business_id IS NULL THEN {now}::date - 20 END",
            reason="CASE WHEN business_id IS NOT NULL THEN 'Answered STOP.' ELSE '' END",
            provenance="CASE WHEN n % 2 = 0 THEN 'console' ELSE 'import of a list' END",
            suppressed_at="created_at",
            created_at="created_at",
            created_by="by",
            released_at=f"CASE WHEN {released} THEN created_at + r10 * interval '9 days' END",
            released_by=f"CASE WHEN {released} THEN by END",
            release_reason=f"CASE WHEN {released} THEN 'Opted in again.' ELSE '' END",
            release_evidence=f"CASE WHEN {released} THEN 'Form of the same day.' ELSE '' END",
        )
        today = timezone.localdate(self.now)
        for age in (20, 50, 80):
            edition = RegistryList(name="National", listed_on=today - timedelta(days=age))
            edition.retired_at = self.now if age > 31 else None
            edition.renewed_at = self.now
            edition.save(force_insert=True)

    def make_leads(self) -> None:
        """Make the leads, each with what was found against it."""
        self.run(
            f"""CREATE TEMP VIEW bench_evidence AS SELECT p.*, CASE p.kind
            WHEN 'duplicate' THEN jsonb_build_object('leads', jsonb_build_array(jsonb_build_object(
                'lead', twin_id, 'source', source_id, 'match', 'phone', 'received_at', twin_at)))
            WHEN 'reused' THEN jsonb_build_object('leads', jsonb_build_array(jsonb_build_object(
                'lead', twin_id, 'differs', jsonb_build_array('phone', 'email'))))
            WHEN 'over-cap' THEN jsonb_build_object('caps', jsonb_build_array(jsonb_build_object(
                'cap', 'daily', 'period', at::date, 'limit', cap, 'used', cap)))
            WHEN 'underage' THEN jsonb_build_object('age', (at::date - born) / 366, 'on', at::date)
            WHEN 'state' THEN jsonb_build_object('state', state, 'allowed', to_jsonb(states))
            WHEN 'product' THEN jsonb_build_object('product', product, 'allowed',
                jsonb_build_array('Something else'))
            WHEN 'mismatch' THEN jsonb_build_object('state', state, 'zip', left(zip, 3),
                'states_of_zip', jsonb_build_array(state))
            WHEN 'suppressed' THEN {ENTRY_EVIDENCE}
            WHEN 'registry' THEN {ENTRY_EVIDENCE}
            ELSE '{{}}'::jsonb END AS evidence
            FROM bench_person AS p LEFT JOIN bench_entry AS e USING (n)""".replace(
                "{seed}", str(self.seed)
            )
        )
        released = "is_decided AND became = 'Approved'"
        self.insert(
            Lead,
            "FROM bench_evidence ORDER BY n",
            id="id",
            business="business_id",
            source="source_id",
            received_at="at",
            modified_at="CASE WHEN is_decided OR kind = 'looked-back' "
            "THEN date_trunc('milliseconds', then_at) END",
            is_test="is_test",
            compliance_status="CASE WHEN kind = 'looked-back' THEN 'Blocked' ELSE became END",
            compliance_blocked_reason="CASE WHEN kind = 'looked-back' THEN "
            f"{text(RULES[Rule.SUPPRESSED].sentence)} WHEN became = 'Approved' THEN '' "
            "ELSE sentence END",
            desk_tab="CASE WHEN is_test THEN NULL WHEN kind = 'looked-back' THEN 'suppressed' "
            "WHEN became = 'Blocked' THEN tab END",
            findings=FINDINGS,
            found=f"CASE WHEN kind = 'looked-back' THEN {text(SUPPRESSED_FOUND)} ELSE found END",
            rules_version="rules_version",
            judged_at="at",
            approved_at="CASE WHEN tab = '' THEN at "
            f"WHEN {released} THEN date_trunc('milliseconds', then_at) END",
            sms_consent_status="CASE WHEN is_covered AND certificate <> '' AND kind <> 'reused' "
            "THEN 'OptedIn' ELSE 'Unknown' END",
            consent_expires_at="CASE WHEN certificate <> '' THEN at + interval '72 hours' END",
            external_id="CASE WHEN n % 8 > 0 THEN 'x-' || n ELSE '' END",
            idempotency_key="CASE WHEN n % 3 = 0 THEN 'k-' || n ELSE '' END",
            fingerprint="CASE WHEN n % 3 = 0 THEN md5('a' || n) || md5('b' || n) ELSE '' END",
            sub_id="sub_id",
            pub_id="CASE WHEN n % 2 = 0 THEN 'pub-' || 1 + n % 9 ELSE '' END",
            price="price",
            product="product",
            vertical="vertical",
            utm_source="(ARRAY['google', 'facebook', 'newsletter', 'bing'])[1 + n % 4]",
            utm_campaign="(ARRAY['spring-sale', 'free-quote', 'neighbours', ''])[1 + n % 4]",
            landing_page="'https://quotes.example.com/' || lower(vertical) || '?step=' || n % 5",
            trusted_form_url="CASE WHEN certificate <> '' THEN "
            "'https://cert.trustedform.com/' || certificate ELSE '' END",
            certificate_id="certificate",
            source_metadata="CASE WHEN n % 5 = 0 THEN "
            "jsonb_build_object('page', 'quote-' || n % 7) ELSE '{}'::jsonb END",
            ip_address=ADDRESS,
            user_agent="(" + texts(BROWSERS) + ")[1 + n % 3]",
            first_name="first_name",
            last_name="last_name",
            name_key="lower(last_name || ' ' || first_name)",
            email="email",
            email_key="email",
            posted_email_key="email",
            phone="phone",
            phone_type="'Mobile'",
            posted_phone="phone",
            address_line1="1 + n % 9000 || ' Oak St'",
            city="city",
            state="state",
            postal_code="zip",
            gender="(ARRAY['F', 'M', ''])[1 + n % 3]",
            birth_date="born",
        )

        self.said["tags on leads"] = self.run(
            f"""INSERT INTO {quoted(Lead.tags.through._meta.db_table)} (lead_id, tag_id)
            SELECT p.id, t.id FROM bench_person AS p JOIN {quoted(Tag._meta.db_table)} AS t
            ON t.business_id = p.business_id AND (p.n % 50 = 0 AND t.name = 'web form'
                OR p.n % 5000 = 0 AND t.name = 'spring')"""
        )

    def make_reviews(self) -> None:
        """Make what was decided: by staff, and by entries that came after."""
        self.insert(
            Review,
            "FROM bench_evidence WHERE is_decided OR kind = 'looked-back' ORDER BY then_at",
            id=f"pg_temp.uuid7(then_at, 'r{self.seed}' || n)",
            lead="id",
            decision="CASE WHEN kind = 'looked-back' THEN 'suppress' "
            "WHEN became = 'Approved' THEN 'release' ELSE 'reject' END",
            at="then_at",
            by="by",
            reason="CASE WHEN kind = 'looked-back' THEN 'Suppressed since '"
            "|| to_char(then_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC.' "
            f"WHEN became = 'Approved' THEN ({texts(RELEASE_REASONS)})[1 + n % 3] "
            f"ELSE ({texts(REJECT_REASONS)})[1 + n % 3] END",
            written_consent="CASE WHEN kind = 'registry' AND became = 'Approved' "
            "THEN 'Signed form, kept by the call centre.' ELSE '' END",
            status_before="CASE WHEN kind = 'looked-back' THEN 'Approved' ELSE 'Blocked' END",
            status_after="CASE WHEN kind = 'looked-back' THEN 'Blocked' ELSE became END",
            blocked_reason_before="CASE WHEN kind = 'looked-back' THEN '' ELSE sentence END",
            findings_before=FINDINGS,
            findings_after=f"CASE WHEN kind = 'looked-back' THEN {self.suppressed()} "
            f"ELSE {FINDINGS} END",
            rules_version_before="rules_version",
            rules_version_after="rules_version",
            seen_by="'[]'::jsonb",
        )
        settled = "r10 < 0.7"
        self.insert(
            LookBack,
            "FROM bench_person JOIN bench_entry AS e USING (n) "
            "WHERE bench_person.kind = 'looked-back'".replace(
                "USING (n)", "ON e.n = bench_person.n"
            ),
            id=f"pg_temp.uuid7(then_at, 'b{self.seed}' || bench_person.n)",
            lead="bench_person.id",
            suppression=f"pg_temp.uuid7(e.created_at, 's{self.seed}' || e.n)",
            review=f"pg_temp.uuid7(then_at, 'r{self.seed}' || bench_person.n)",
            at="then_at",
            act_by="then_at::date + 14",
            settled_at=f"CASE WHEN bench_person.{settled} THEN then_at + interval '1 minute' END",
            settled_by=f"CASE WHEN bench_person.{settled} THEN bench_person.by END",
            settled_note=f"CASE WHEN bench_person.{settled} THEN 'The buyer was told.' ELSE '' END",
        )
        for salt, how, share, reason in (
            (1, "page", 0.02, "''"),
            (2, "reveal", 0.004, "'To call the person back.'"),
            (3, "export", 0.004, "''"),
        ):
            self.insert(
                Disclosure,
                f"FROM bench_made WHERE {chance(salt)} < {share} ORDER BY n",
                id=f"pg_temp.uuid7(then_at, '{how}{self.seed}' || n)",
                lead="id",
                at="then_at",
                by="by",
                how=f"'{how}'",
                reason=reason,
            )

    def suppressed(self) -> str:
        """Return the findings of a lead whose person was suppressed after it, as SQL."""
        (told,) = Kind("", 0, Rule.SUPPRESSED).findings
        evidence = ENTRY_EVIDENCE.replace("{seed}", str(self.seed))
        return (
            f"jsonb_build_array({text(json.dumps(told))}::jsonb || "
            f"jsonb_build_object('evidence', (SELECT {evidence} FROM bench_entry AS e "
            "WHERE e.n = bench_evidence.n)))"
        )

    # --- what was posted ------------------------------------------------------------------------

    def make_posts(self) -> None:
        """Make the post of every lead, the posts that repeat one, and those that were refused."""
        self.run(
            """CREATE TEMP VIEW bench_sent AS SELECT *, json_build_object(
                'firstName', first_name, 'lastName', last_name, 'email', email,
                'phone', '(' || substr(phone, 3, 3) || ') ' || substr(phone, 6, 3) || '-'
                    || substr(phone, 9), 'address1', 1 + n % 9000 || ' Oak St', 'city', city,
                'state', state, 'zip', zip, 'dateOfBirth', born, 'product', product,
                'price', price::text, 'externalId',
                CASE WHEN n % 8 > 0 THEN 'x-' || n ELSE '' END, 'subId', sub_id,
                'utmSource', (ARRAY['google', 'facebook', 'newsletter', 'bing'])[1 + n % 4],
                'trustedFormUrl', CASE WHEN certificate = '' THEN '' ELSE
                    'https://cert.trustedform.com/' || certificate END)::text AS body
            FROM bench_person"""
        )
        common = {
            "source": "source_id",
            "key": "CASE WHEN is_test THEN test_key_id ELSE key_id END",
            "method": "'POST'",
            "path": "'/leads/intake'",
            "address": ADDRESS,
            "headers": "jsonb_strip_nulls(jsonb_build_object('Accept', '*/*', 'Content-Type', "
            "'application/json', 'Content-Length', octet_length(body)::text, 'User-Agent', "
            "(ARRAY['python-requests/2.32', 'axios/1.7', 'Boberdoo/3'])[1 + n % 3], "
            "'Idempotency-Key', CASE WHEN n % 3 = 0 THEN 'k-' || n END))",
            "body": "convert_to(body, 'UTF8')",
            "body_size": "octet_length(body)",
            "took_us": "(2500 - ln(1 - r9 * 0.9999) * 2600)::int",
        }
        self.insert(
            Post,
            "FROM bench_sent ORDER BY n",
            id="post_id",
            received_at="at",
            request_id="md5('q' || n)",
            status="201",
            outcome="CASE WHEN tab = '' THEN 'approved' ELSE 'blocked' END",
            lead="id",
            notes="CASE WHEN n % 20 = 0 THEN jsonb_build_object('ignored', "
            "jsonb_build_array('leadSource')) ELSE '{}'::jsonb END",
            **common,
        )
        now = f"'{self.now.isoformat()}'::timestamptz"
        self.insert(
            Post,
            f"""FROM (SELECT *, least(at + r10 * interval '40 minutes', {now}) AS again_at
            FROM bench_sent WHERE {chance(4)} < {REPEATS}) AS repeated""",
            id="pg_temp.uuid7(again_at, 'again' || n)",
            received_at="date_trunc('milliseconds', again_at)",
            request_id="md5('again' || n)",
            status="201",
            outcome="'repeated'",
            lead="id",
            **common,
        )
        self.make_refused(common)
        self.insert(
            RefusalCount,
            f"""FROM generate_series(1, {min(self.leads // 100, 20_000)}) AS k
            JOIN bench_source AS s ON s.i = 1 + k % {self.source_count}""",
            id="gen_random_uuid()",
            minute=f"date_trunc('minute', {now}) - k * interval '6 minutes'",
            code="CASE WHEN k % 3 > 0 THEN 'rate-limited' ELSE 'invalid-credentials' END",
            source="CASE WHEN k % 3 > 0 THEN s.source_id END",
            address="CASE WHEN k % 3 > 0 THEN '' ELSE '198.51.100.' || k % 250 END",
            count="1 + k % 40",
        )

    def make_refused(self, common: dict[str, str]) -> None:
        """Make posts that were refused, each from that of some lead, with the fault it tells of."""
        rows = ", ".join(
            f"({number}, {text(code)}, {PROBLEM_TYPES[code].status}, "
            f"{text(json.dumps(PROBLEM_TYPES[code].example))}::jsonb)"
            for number, code in enumerate(REFUSALS)
        )
        self.run(
            f"CREATE TEMP TABLE bench_refusal (no, code, status, answer) ON COMMIT DROP AS "
            f"VALUES {rows}"
        )
        now = f"'{self.now.isoformat()}'::timestamptz"
        finding = text(json.dumps(Kind("", 0, Rule.DUPLICATE, Mode.REJECT).findings))
        self.insert(
            Post,
            f"""FROM (SELECT *, least(at + r9 * interval '9 minutes', {now}) AS later,
                md5('refused' || n) AS request,
                CASE code WHEN 'malformed-body' THEN left(whole, -25)
                    WHEN 'invalid-lead' THEN replace(whole, '"zip" : "', '"zip" : "00')
                    ELSE whole END AS body
                FROM (SELECT s.*, s.body AS whole, refusal.* FROM (
                    SELECT *, width_bucket({chance(5)}, {thresholds(REFUSALS.values())}) AS no
                    FROM bench_sent WHERE {chance(6)} < {REFUSED}) AS s
                    JOIN bench_refusal AS refusal USING (no)) AS sent) AS refused""".replace(
                "s.*, s.body AS whole, refusal.*", REFUSED_COLUMNS
            ),
            id="pg_temp.uuid7(later, 'no' || n)",
            received_at="date_trunc('milliseconds', later)",
            request_id="request",
            status="status",
            outcome="code",
            answer="answer || jsonb_build_object('requestId', request, 'traceId', request)",
            findings=f"CASE WHEN status = 422 THEN {finding}::jsonb END",
            rules_version="CASE WHEN status = 422 THEN rules_version ELSE '' END",
            **common,
        )

    def make_tombstones(self) -> None:
        """Erase a few leads, as their persons asked for."""
        chosen = Lead.objects.filter(compliance_status="Approved").order_by("received_at")
        ids = list(chosen.values_list("id", flat=True)[: self.leads // 5000])
        Lead.objects.filter(id__in=ids).update(erased_at=self.now, **WITHOUT_PERSON)
        self.said["of them erased"] = len(ids)


SUPPRESSED_FOUND = found_in(Kind("", 0, Rule.SUPPRESSED).findings)
SOURCE_COLUMNS = ", ".join(
    f"s.{name}"
    for name in (
        *("source_id", "business_id", "key_id", "test_key_id", "rules_version", "is_covered"),
        *("vertical", "states", "cap"),
    )
)
REFUSED_COLUMNS = ", ".join(
    (
        *("s.n", "s.at", "s.r9", "s.is_test", "s.source_id", "s.key_id", "s.test_key_id"),
        *("s.rules_version", "s.body AS whole", "refusal.code", "refusal.status"),
        "refusal.answer",
    )
)
FINDINGS = """CASE WHEN told = '[]'::jsonb THEN told
    ELSE jsonb_build_array((told -> 0) || jsonb_build_object('evidence', evidence)) END"""
ENTRY_EVIDENCE = """jsonb_build_object('suppressions', jsonb_build_array(jsonb_strip_nulls(
    jsonb_build_object('suppression', pg_temp.uuid7(e.created_at, 's{seed}' || e.n),
    'kind', e.kind, 'channel', 'all', 'match', 'phone', 'since', e.created_at,
    'list', CASE WHEN e.business_id IS NULL THEN 'National' END))))"""
ADDRESS = "('198.51.' || n % 200 || '.' || n % 250)::inet"
BROWSERS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile Safari",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/131.0 Mobile Safari/537.36",
)
# Tables that get many rows: filled without indexes and foreign keys, which are made again after.
LARGE = (Lead, Post, Suppression, Review, Disclosure)


def take_off() -> list[str]:
    """Drop the indexes and foreign keys of the large tables; return what makes them again."""
    again = []
    with connection.cursor() as cursor:
        for model in LARGE:
            table = model._meta.db_table
            cursor.execute(
                "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
                "WHERE conrelid = %s::regclass AND contype = 'f'",
                [table],
            )
            for name, definition in cursor.fetchall():
                cursor.execute(f"ALTER TABLE {quoted(table)} DROP CONSTRAINT {quoted(name)}")
                again.append(
                    f"ALTER TABLE {quoted(table)} ADD CONSTRAINT {quoted(name)} {definition}"
                )
            cursor.execute(
                "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s "
                "AND schemaname = current_schema() AND NOT EXISTS (SELECT FROM pg_constraint "
                "WHERE conindid = format('%%I.%%I', schemaname, indexname)::regclass)",
                [table],
            )
            for name, definition in cursor.fetchall():
                cursor.execute(f"DROP INDEX {quoted(name)}")
                again.insert(0, definition)  # before the foreign keys
    return again


def check() -> None:
    """Raise NotLoaded unless there is an empty, migrated PostgreSQL."""
    if connection.vendor != "postgresql":
        raise NotLoaded("This fills a PostgreSQL: set DATABASE_URL to one.")
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise NotLoaded("This database is not migrated: run manage.py migrate on it first.")
    if Lead.objects.exists():
        raise NotLoaded("There are leads already: this fills an empty database only.")


def load(
    *, leads: int = 1_000_000, days: int = 90, sources: int = 20, seed: int = 1
) -> dict[str, int]:
    """Fill the database, all or nothing; return how many of what were made.

    Raises NotLoaded. Up to seven million leads, which is how many phone numbers it has.
    """
    check()
    if not 100 <= leads <= 7_000_000:
        raise NotLoaded("Between 100 and 7,000,000 leads can be made.")
    loader = Loader(leads, days, sources, seed, to_millisecond(timezone.now()))
    with transaction.atomic():
        for setting, value in (("work_mem", "256MB"), ("maintenance_work_mem", "512MB")):
            loader.run(f"SET LOCAL {setting} = '{value}'")
        loader.run("SET LOCAL jit = off")
        loader.run("SET LOCAL temp_buffers = '256MB'")
        loader.run("SET LOCAL statement_timeout = 0")
        again = take_off()
        staff = loader.make_staff()
        loader.make_sources()
        loader.draw()
        loader.judge(staff)
        loader.make_suppressions(staff)
        loader.make_leads()
        loader.make_reviews()
        loader.make_posts()
        for one in again:
            loader.run(one)
        loader.make_tombstones()
        loader.run(
            "UPDATE sources_sourcekey AS k SET last_used_at = (SELECT max(at) FROM bench_made "
            "JOIN bench_source AS s USING (i) WHERE s.key_id = k.id) WHERE k.label = 'production'"
        )
        for view in ("bench_sent", "bench_evidence", "bench_person"):
            loader.run(f"DROP VIEW {view}")
        loader.run("DROP FUNCTION pg_temp.uuid7")
    if connection.in_atomic_block:
        return loader.said
    for model in LARGE:
        loader.run(f"VACUUM (ANALYZE) {quoted(model._meta.db_table)}")
    loader.run("ANALYZE")
    return loader.said


def main(words: list[str]) -> int:
    """Do as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("--leads", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--sources", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(words)
    started = time.monotonic()
    try:
        said = load(leads=given.leads, days=given.days, sources=given.sources, seed=given.seed)
    except NotLoaded as error:
        print(error, file=sys.stderr)
        return 1
    # A worker that was running meanwhile has seen sources without anything in the past.
    rollup.begin_again()
    for name, count in said.items():
        print(f"{count:>12,} {name}")
    print(f"Made in {time.monotonic() - started:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
