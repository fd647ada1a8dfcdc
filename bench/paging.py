"""Page through 100,000 leads by the API while others are posted: `python -m bench.paging URL`.

Of a PostgreSQL database that `bench.load` filled. The service runs as it is deployed, without its
proxy. Each lead that was there at the start must come exactly once.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any

import django

if __name__ == "__main__":
    os.environ["DATABASE_URL"] = sys.argv[1]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leadping.settings")
    django.setup()

from django.db.models import Count
from django.utils import timezone

from bench.client import lead_body
from bench.machine import description
from bench.services import Service, granian
from leads.models import Lead
from sources.models import Business, Source
from sources.tokens import MAX_RATE, ApiToken, Scope
from tests.service import free_port

RESULT = Path(__file__).parent / "results" / "paging.md"
PAGES, PAGE_SIZE = 1000, 100
POSTS_A_SECOND = 20
SAMPLE = 20


def asked(url: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """Return what a POST answers as JSON."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"} | headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def post_on(url: str, keys: list[str], done: threading.Event, made: list[str]) -> None:
    """Post leads at a steady rate, to one source after the other, until it is done."""
    number = time.time_ns() // 1_000_000
    while not done.wait(1 / POSTS_A_SECOND):
        number += 1
        headers = {"Authorization": f"Bearer {keys[number % len(keys)]}"}
        made.append(asked(f"{url}/leads/intake", headers, lead_body(number))["id"])


def paged(url: str, headers: dict[str, str]) -> tuple[list[str], list[float]]:
    """Return the ids of all pages in order, and the milliseconds of each page."""
    ids, took = [], []
    token = None
    for _ in range(PAGES):
        body = {"pageSize": PAGE_SIZE, "continuationToken": token}
        began = time.perf_counter()
        page = asked(f"{url}/leads/all/my", headers, json.dumps(body).encode())
        took.append((time.perf_counter() - began) * 1000)
        ids += [one["id"] for one in page["items"]]
        token = page["continuationToken"]
        if token is None:
            break
    return ids, took


def main() -> None:
    """Measure, with persons and masked, and write the result."""
    business = Business.objects.annotate(count=Count("leads")).order_by("-count")[0]
    sources = list(Source.objects.filter(business=business, is_enabled=True))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    more = {"HTTPS": "off", "LOG_LEVEL": "ERROR", "PUBLIC_URL": url}
    lines = [
        "# Paging through 100,000 leads while others are posted",
        "",
        *description(),
        "",
        f"{Lead.objects.count():,} leads, {business.leads.count():,} of them of the business, from "
        f"{len(sources)} sources. Pages of {PAGE_SIZE}; {POSTS_A_SECOND} posts a second meanwhile.",
        "Milliseconds at the client, medians of 20 pages.",
        "",
        f"| token | pages 1 to {SAMPLE} | in the middle | {PAGES - SAMPLE + 1:,} to {PAGES:,} "
        "| last to first | all pages, s | posted meanwhile | of the leads at the start |",
        "|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        with Service("granian", granian(port), port, more, Path(folder)):
            for told, scopes in (
                ("with persons", [Scope.LEADS_READ, Scope.PERSONAL_DATA]),
                ("masked", [Scope.LEADS_READ]),
            ):
                lines.append(measured(told, scopes, business, sources, url))
                print(lines[-1], flush=True)
    RESULT.write_text("\n".join([*lines, ""]))


def measured(
    told: str, scopes: list[Scope], business: Business, sources: list[Source], url: str
) -> str:
    """Return one line of the table."""
    token, text = ApiToken.objects.issue(
        business=business,
        label="bench",
        scopes=scopes,
        expires_at=timezone.now() + timedelta(hours=1),
        rate_per_minute=MAX_RATE,
    )
    keys = [one.issue_key(label="bench") for one in sources]
    rows = Lead.objects.filter(business=business, is_test=False, deleted_at=None, erased_at=None)
    rows = rows.filter(archived_at=None).order_by("-received_at", "-id")
    there = [str(one) for one in rows.values_list("id", flat=True)[: PAGES * PAGE_SIZE]]
    done, made = threading.Event(), list[str]()
    poster = threading.Thread(
        target=post_on,
        args=(url, [text for _, text in keys], done, made),
    )
    poster.start()
    began = time.monotonic()
    try:
        ids, took = paged(url, {"Authorization": f"Bearer {text}"})
    finally:
        done.set()
        poster.join()
    seconds = time.monotonic() - began
    token.revoke(timezone.now())
    for key, _ in keys:
        key.revoke(timezone.now())
    # What was posted just before the first page was read stands before the rest.
    old = [one for one in ids if one not in set(made)]
    assert len(set(ids)) == len(ids), "some lead came twice"
    assert old == there[: len(old)], "some lead is missing or out of order"
    assert len(old) >= (PAGES - 1) * PAGE_SIZE
    assert len(made) > seconds
    middle = len(took) // 2
    parts = [took[:SAMPLE], took[middle : middle + SAMPLE], took[-SAMPLE:]]
    first, mid, last = (statistics.median(one) for one in parts)
    return (
        f"| {told} | {first:.1f} | {mid:.1f} | {last:.1f} | {last / first:.2f} | {seconds:.0f} "
        f"| {len(made):,} | each of {len(old):,} once |"
    )


if __name__ == "__main__":
    main()
