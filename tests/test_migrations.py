"""The migrations of a database with leads in it: forwards, backwards, and forwards again."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.service import ROOT, own_database

pytestmark = pytest.mark.processes

LOOK = """
import json
from django.db.models import F, Q
from leads.models import Lead
from sources.models import Source
leads = Lead.objects.all()
print(json.dumps({
    "leads": leads.count(),
    "approved": leads.filter(compliance_status="Approved").count(),
    "approved on arrival": leads.filter(approved_at=F("received_at")).count(),
    "approved at some time": leads.exclude(approved_at=None).count(),
    "with certificate": leads.exclude(certificate_id="").count(),
    "with end of certificate": leads.exclude(consent_expires_at=None).count(),
    "with a name": leads.exclude(name_key="").count(),
    "with findings": leads.exclude(found="").count(),
    "versions kept": [
        Source.objects.of_version(str(one.version)) == one for one in Source.objects.all()
    ],
}))
"""


def test_leads_from_before_the_compliance_rules_are_brought_up_to_date(tmp_path: Path) -> None:
    with own_database(tmp_path) as url:
        environment = os.environ | {
            "DATABASE_URL": url,
            "ENV_FILE": os.devnull,
            "SECRET_KEY": "only for this test, and of more than fifty characters",
        }

        def manage(*words: str) -> str:
            ended = subprocess.run(
                [sys.executable, "manage.py", *words],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert ended.returncode == 0, ended.stderr
            return ended.stdout

        def look() -> dict[str, Any]:
            said: dict[str, Any] = json.loads(manage("shell", "-v", "0", "-c", LOOK))
            return said

        manage("seed_demo", "--posts=80")
        before = look()
        for app, name in (("leads", "0003"), ("sources", "0001")):
            manage("migrate", app, name)
        manage("migrate")
        after = look()
    assert after == before
    assert after["approved on arrival"] == after["approved at some time"] == after["approved"] > 30
    assert after["with end of certificate"] == after["with certificate"] > 30
    assert after["with a name"] == after["leads"]
    assert after["with findings"] > 10
    assert after["versions kept"] == [True] * 3
