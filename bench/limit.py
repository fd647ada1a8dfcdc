"""P: what PostgreSQL alone can do. pgbench writes the two rows of a post, lead and post, on the
real tables with all their indexes, in one prepared statement and one round trip.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection, models

from intake.models import Post
from leads.models import Lead
from sources.sql import quoted, table
from tests.postgres import BINARIES

# Of each run of the statement: a number of its own, and which source it is of.
SETS = r"""
\set n random(1, 1000000000000)
\set m random(1, 1000000000000)
\set s random(1, {sources})
"""
# UUIDv7 as the application makes them: the time, then chance.
UUID7 = (
    "(lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7' || "
    "substr(lpad(to_hex({0}), 12, '0'), 10) || '8' || lpad(to_hex({0} * 999983), 15, '0'))::uuid"
)
NUMBER = "(:n)::bigint"
PHONE = f"'+1' || lpad((2000000000 + {NUMBER} % 7999999999)::text, 10, '0')"
EMAIL = f"'p' || {NUMBER} || '@example.com'"
CERTIFICATE = f"lpad(to_hex({NUMBER}), 40, '0')"
# What is another for each lead and post, as the index of its column meets it.
OWN: dict[type[models.Model], dict[str, str]] = {
    Lead: {
        "id": UUID7.format(NUMBER),
        **dict.fromkeys(("received_at", "judged_at", "approved_at"), "now()"),
        **dict.fromkeys(("phone", "posted_phone"), PHONE),
        **dict.fromkeys(("email", "email_key", "posted_email_key"), EMAIL),
        "external_id": f"'x-' || {NUMBER}",
        "seller_lead_id": f"'S-' || {NUMBER}",
        "certificate_id": CERTIFICATE,
        "trusted_form_url": f"'https://cert.trustedform.com/' || {CERTIFICATE}",
        "name_key": f"'name ' || {NUMBER} % 100000",
        "sub_id": f"'sub-' || {NUMBER} % 50",
    },
    Post: {
        "id": UUID7.format("(:m)::bigint"),
        "lead": UUID7.format(NUMBER),
        "received_at": "now()",
        "request_id": f"md5({NUMBER}::text)",
    },
}


class Limit:
    """pgbench on a database where one lead has been posted, like which it makes its rows."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.script = folder / "post.pgbench"
        self.definitions: dict[str, str] = {}
        with psycopg.connect(url) as session:
            lead = session.execute(f"SELECT * FROM {table(Lead)} LIMIT 1".encode())
            sample: dict[type[models.Model], dict[str, Any]] = {Lead: row_of(lead)}
            post = session.execute(
                f"SELECT * FROM {table(Post)} WHERE status = 201 LIMIT 1".encode()
            )
            sample[Post] = row_of(post)
            keys = session.execute(
                "SELECT DISTINCT ON (source_id) source_id::text, id::text FROM sources_sourcekey"
            ).fetchall()
        self.own = {model: dict(values) for model, values in OWN.items()}
        for model in OWN:
            self.own[model]["source"] = f"('{{{','.join(one for one, _ in keys)}}}'::uuid[])[:s]"
        self.own[Post]["key"] = f"('{{{','.join(key for _, key in keys)}}}'::uuid[])[:s]"
        lead_sql = self.insert(Lead, sample[Lead], "VALUES ({})")
        post_sql = self.insert(Post, sample[Post], "SELECT {} FROM written")
        self.script.write_text(
            SETS.format(sources=len(keys))
            + f"WITH written AS ({lead_sql} ON CONFLICT DO NOTHING RETURNING 1) {post_sql};\n"
        )

    def insert(self, model: type[models.Model], sample: dict[str, Any], values: str) -> str:
        """Return an INSERT of one row: what is its own as SQL, all else as it is in the sample."""
        fields = model._meta.concrete_fields
        own = self.own[model]
        written = []
        for one in fields:
            value = sample[str(one.column)]
            if one.name in own:
                written.append(own[one.name])
            elif not value:  # pgbench knows no empty variable
                written.append("NULL" if value is None else "''")
            else:  # sent each time, as the application does
                name = f"v{len(self.definitions)}"
                self.definitions[name] = value
                written.append(f":{name}::{re.sub(r'[(].*[)]', '', str(one.db_type(connection)))}")
        names = ", ".join(quoted(one.column) for one in fields)
        return f"INSERT INTO {table(model)} ({names}) {values.format(', '.join(written))}"

    def run(self, seconds: int, concurrency: int) -> tuple[float, int]:
        """Run for whole seconds; return the rows of each kind in a second, and how many at all."""
        words: list[str | Path] = [BINARIES / "pgbench", "--no-vacuum", "--protocol=prepared"]
        words += [f"--client={concurrency}", "--jobs=1", f"--time={seconds}"]
        words += [f"--file={self.script}"]
        words += [f"--define={name}={value}" for name, value in self.definitions.items()]
        words += ["--random-seed=" + str(int.from_bytes(os.urandom(4)))]
        ended = subprocess.run([*words, self.url], capture_output=True, text=True)
        if ended.returncode:
            raise RuntimeError(ended.stdout + ended.stderr)
        said = re.search(r"tps = ([0-9.]+)", ended.stdout)
        done = re.search(r"actually processed: (\d+)", ended.stdout)
        failed = re.search(r"failed transactions: (\d+)", ended.stdout)
        if not (said and done and failed and failed[1] == "0"):
            raise RuntimeError(ended.stdout + ended.stderr)
        return float(said[1]), int(done[1])


def row_of(cursor: psycopg.Cursor[Any]) -> dict[str, Any]:
    """Return the one row of a cursor as texts that PostgreSQL reads again, None for NULL."""
    raw = cursor.pgresult
    assert raw
    row = {}
    for number, one in enumerate(cursor.description or ()):
        value = raw.get_value(0, number)
        row[one.name] = None if value is None else value.decode()
    return row
