"""Run refused posts again: first only to see what would come of it, then for good."""

import time
from collections import Counter
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import connection

from intake.jobs import replay_later
from intake.models import Post
from intake.replay import NotReplayed, Replayed, refused, rehearse, replay
from leads.management.reading import moment
from leads.reviews import NotDecided, reason_of
from sources.management.lookup import ClearCommand, is_uuid, source_by

EXAMPLES = 3


class Command(ClearCommand):
    help = (
        "Run posts that were refused again, by the settings and rules of now: what is taken "
        "becomes a lead with its first arrival time. Without --reason nothing is written: it shows "
        "what would come of each post by itself."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("posts", nargs="*", metavar="POST", help="ids; all, if none is given")
        parser.add_argument("--source", help="only posts of this source: its id or name")
        parser.add_argument(
            "--outcome", action="append", metavar="CODE", help="only those refused so"
        )
        parser.add_argument(
            "--since", type=moment, metavar="TIME", help="received from then on, UTC"
        )
        parser.add_argument(
            "--until", type=moment, metavar="TIME", help="received before then, UTC"
        )
        parser.add_argument("--reason", help="replay them, for this reason")
        parser.add_argument(
            "--count", type=int, metavar="N", help="how many you expect; else nothing is replayed"
        )
        parser.add_argument(
            "--later", action="store_true", help="leave it to the worker, a job for each post"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        rows = refused(chosen(options))
        ids = list(rows.values_list("id", flat=True))
        if options["reason"] is None:
            self.show(rehearse, ids, "would be")
            self.stdout.write(
                f"\nNothing was written. To replay them: --reason … --count {len(ids)}"
            )
            return
        try:
            reason = reason_of(options["reason"])
        except NotDecided as error:
            raise CommandError(str(error)) from None
        if options["count"] != len(ids):
            raise CommandError(
                f"{len(ids)} posts match. Say --count {len(ids)} if it is these that you mean."
            )
        if options["later"]:
            self.stdout.write(f"The worker will replay {replay_later(ids, reason)} posts.")
            return
        self.show(lambda post_id: replay(post_id, None, reason), ids, "are")

    def show(self, run: Any, ids: list[Any], verb: str) -> None:
        """Run each post and print what came of them, counted, with some examples."""
        counts: Counter[str] = Counter()
        examples: dict[str, list[str]] = {}
        for post_id in ids:
            began = time.monotonic()
            try:
                done: Replayed = run(post_id)
                told = ", ".join([done.outcome, *done.findings, *done.faults])
            except NotReplayed as error:
                told = str(error)
            counts[told] += 1
            examples.setdefault(told, []).append(str(post_id))
            if connection.vendor == "sqlite":  # whose one writer is wanted by posts too
                time.sleep(time.monotonic() - began)
        self.stdout.write(f"Of {len(ids)} posts {verb}:")
        for told, count in counts.most_common():
            some = ", ".join(examples[told][:EXAMPLES])
            self.stdout.write(f"  {count:6}  {told}    e.g. {some}")


def chosen(options: dict[str, Any]) -> Any:
    """Return the posts that the options name; raises CommandError."""
    rows = Post.objects.all()
    if options["posts"]:
        if not all(map(is_uuid, options["posts"])):
            raise CommandError("A post is named by its id.")
        rows = rows.filter(id__in=options["posts"])
    if options["source"]:
        rows = rows.filter(source=source_by(options["source"]))
    if options["outcome"]:
        rows = rows.filter(outcome__in=options["outcome"])
    if options["since"]:
        rows = rows.filter(received_at__gte=options["since"])
    if options["until"]:
        rows = rows.filter(received_at__lt=options["until"])
    return rows
