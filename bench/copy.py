"""Copy the newest of what `bench.load` made into a new SQLite: `python -m bench.copy FILE`.

For measuring the pages of the console on the embedded database, with the same leads.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import django
from django.conf import settings

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leadping.settings")
    os.environ.setdefault("LOG_LEVEL", "ERROR")
    django.setup()

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connections, models, transaction
from django.db.models import Q

from intake.models import Post
from leadping.settings import database, env
from leads.models import Disclosure, Lead, RegistryList, Review, Suppression
from sources.models import Business, Source, SourceKey, SourceRule, Tag, Vendor

ALIAS = "copy"
AT_ONCE = 2000


def rows(leads: int) -> Iterator[tuple[type[models.Model], Any]]:
    """Yield what is copied, what is named before what names it: a model, and its rows."""
    newest = Lead.objects.order_by("-received_at", "-id")[:leads]
    since = newest[leads - 1 : leads].get().received_at if Lead.objects.count() > leads else None
    kept = Lead.objects.filter(received_at__gte=since) if since else Lead.objects.all()
    of_leads = {"lead__received_at__gte": since} if since else {}
    yield get_user_model(), get_user_model().objects.all()
    models_of_staff: list[Any] = [Business, Vendor, Tag, Source, SourceRule, SourceKey]
    for model in (*models_of_staff, RegistryList):
        yield model, model._default_manager.all()
    for model in (Source.history.model, SourceRule.history.model, SourceKey.history.model):
        yield model, model._default_manager.all()
    yield Source.default_tags.through, Source.default_tags.through.objects.all()
    yield Suppression, Suppression.objects.order_by("-id")[: leads // 20]
    yield Lead, kept
    yield Lead.tags.through, Lead.tags.through.objects.filter(**of_leads)
    posts = Post.objects.filter(Q(lead=None) | Q(**of_leads))
    yield Post, posts.filter(received_at__gte=since) if since else posts
    yield Review, Review.objects.filter(**of_leads)
    yield Disclosure, Disclosure.objects.filter(**of_leads)


def copy(leads: int) -> dict[str, int]:
    """Copy into the database `copy`, which is migrated; return how many rows of which model.

    Without statistics for its planner: nothing of leadping makes any on SQLite.
    """
    said = {}
    with transaction.atomic(using=ALIAS):
        for model, found in rows(leads):
            count = 0
            pieces = found.iterator(chunk_size=AT_ONCE)
            while piece := list(islice(pieces, AT_ONCE)):
                model._base_manager.using(ALIAS).bulk_create(piece, ignore_conflicts=True)
                count += len(piece)
            said[str(model._meta.verbose_name_plural)] = count
    return said


def main(words: list[str]) -> int:
    """Do as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.copy", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--leads", type=int, default=200_000)
    given = parser.parse_args(words)
    if given.file.exists():
        print("There is such a file already.", file=sys.stderr)
        return 1
    started = time.monotonic()
    settings.DATABASES[ALIAS] = database(env.db_url_config(f"sqlite:///{given.file.resolve()}"))
    connections.configure_settings(connections.settings)
    call_command("migrate", database=ALIAS, verbosity=0)
    for name, count in copy(given.leads).items():
        print(f"{count:>12,} {name}")
    print(f"Copied in {time.monotonic() - started:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
