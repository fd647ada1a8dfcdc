"""How rows become a file: asked for, read piece by piece, kept for a while, fetched.

A piece is read by one statement, and written with the place after it in the transaction that renews
the lease: whatever stops an export, it goes on there, with no row twice and none missing. Memory
does not grow with the rows. Before a person goes out, it is on record that they do.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import orjson
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import EmptyResultSet
from django.db import connection, transaction
from django.http import QueryDict
from django.utils import timezone

from leadping.jobs.tasks import Outcome, Turn, enqueue
from leads import columns
from leads.browse import COUNTED_AT_MOST, Browse, merged
from leads.exports import (
    KINDS,
    MAY_EXPORT,
    MAY_EXPORT_PERSONS,
    Batch,
    Estimate,
    Export,
    ExportChunk,
    ExportDownload,
    ExportedLeads,
    ExportSchedule,
    Kind,
    NotExportable,
    Taken,
    register,
)
from leads.files import FORMATS, Field, Format, Stopped
from leads.models import Lead
from leads.moments import bound, days_of, midnight
from leads.narrow import FILTERS
from leads.reviews import NotDecided, reason_of
from leads.rows import Reader, pieces

TASK = "export"
FORGET_TASK = "forget-files-of-exports"
CHUNK_BYTES = 1024 * 1024
# What is inflated again within seconds should cost little; of what is compressed, nothing.
FAST, NOT_AT_ALL = 1, 0
FORGOTTEN_AT_ONCE = 8
IDS_AT_ONCE = 2000
SQLITE_COUNTED_AT_MOST = 200_000
FOLDER = "leadping-export-"
GIVEN_UP = (
    "Making the file failed several times, and was given up. Run it again, or ask whoever runs "
    "leadping: what went wrong stands on the page of its job."
)

State = Export.State
Stage = ExportChunk.Stage


class NotAllowed(NotExportable):
    """Whoever asks may not export this, or not any more."""


class Gone(NotExportable):
    """The file is not kept any more."""


def in_zone() -> Any:
    """Return the context in which days begin as in the console."""
    return timezone.override(settings.CONSOLE_TIME_ZONE)


# --- leads ----------------------------------------------------------------------------------------


class Leads(Kind):
    """The leads of a list, as its URL has it."""

    name, label = "leads", "Leads"
    permissions = ("leads.view_lead",)
    has_persons = True
    is_written = True

    def browse(self, query: str, by: Any) -> Browse:
        """Return the list that somebody may see under a query; raises NotExportable.

        A filter that cannot be read is left out of a page, which says so; of a file, nobody would
        see that it holds more than was asked for.
        """
        given = QueryDict(query).dict()
        found = Browse(given, may_reveal=by.has_perm("leads.reveal_lead"))
        unknown = given.keys() - {*FILTERS, *found.chosen, "cols", "order"}
        faults = [*found.faults, *(f"There is no filter {one}." for one in sorted(unknown))]
        if faults or found.trouble:
            raise NotExportable(" ".join(filter(None, (*faults, found.trouble))))
        return found

    def checked(self, query: str, by: Any, at: datetime) -> str:
        given = QueryDict(query).dict()
        for name in ("after", "before"):
            given.pop(name, None)
        found = self.browse(encoded(given), by)
        still = standing_still(found, at)
        names = ",".join(one.name for one in found.columns)
        return self.browse(found.query(("from", "to", "period"), **still), by).query(cols=names)

    def title(self, query: str) -> str:
        return f"Leads, the {QueryDict(query).get('order', 'newest')} first"

    def told(self, query: str, by: Any) -> list[tuple[str, str]]:
        return [(one.label, one.value) for one in self.browse(query, by).chips()]

    def widened(self, query: str) -> str:
        given = QueryDict(query).dict() | {"cols": ",".join(columns.BY_NAME)}
        return encoded(given)

    def fields(self, query: str, *, is_masked: bool) -> list[Field]:
        return [one.field(is_masked=is_masked) for one in chosen(query)]

    def batches(self, one: Export) -> Iterator[Batch]:
        assert one.as_of
        browse = self.browse(one.query, one.by)
        reader = Reader(chosen(one.query), is_masked=one.is_masked)
        after = UUID(one.place) if one.place else None
        for piece in pieces(browse, reader, one.as_of, after):
            taken = None if one.is_masked else Taken(piece.ids, piece.received)
            yield Batch(piece.count, piece.cells, piece.last_id, taken, piece.settle)

    def estimate(self, query: str, by: Any) -> Estimate:
        """Return how many leads there are: exactly up to 10,000, beyond as the database thinks."""
        browse = self.browse(query, by)
        at_most = COUNTED_AT_MOST if connection.vendor == "postgresql" else SQLITE_COUNTED_AT_MOST
        count = counted(browse, at_most + 1)
        if count <= at_most:
            return Estimate(count)
        if connection.vendor != "postgresql":
            return Estimate(at_most, "more")
        return Estimate(max(planned(browse), at_most), "about")


def encoded(given: dict[str, str]) -> str:
    """Return the query of a URL."""
    query = QueryDict("", mutable=True)
    query.update(given)
    return query.urlencode()


def chosen(query: str) -> list[columns.Column]:
    """Return the columns that a query names."""
    names = QueryDict(query).get("cols", "").split(",")
    return [columns.BY_NAME[one] for one in names if one in columns.BY_NAME]


def standing_still(browse: Browse, at: datetime) -> dict[str, str]:
    """Return the ends of the list's time as it is at a moment, where it moves with the day."""
    given: dict[str, str] = {
        name: text for name, text in browse.chosen.items() if name in ("from", "to")
    }
    period = browse.chosen.get("period")
    if not period:
        return given
    first, last = days_of(period, timezone.localdate(at))
    begins, ends = midnight(first), midnight(last + timedelta(days=1))
    if "from" not in given or bound(given["from"]) < begins:
        given["from"] = first.isoformat()
    if "to" not in given or bound(given["to"], is_end=True) > ends:
        given["to"] = last.isoformat()
    return given


def counted(browse: Browse, at_most: int) -> int:
    """Return how many leads a list has, up to so many."""
    sql, values = merged(browse.branches(), ("id",), at_most, browse.order == "newest")
    if not sql:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ({sql}) AS counted", values)
        return int(cursor.fetchone()[0])


def planned(browse: Browse) -> int:
    """Return how many leads a list has, as PostgreSQL thinks when it plans to read them."""
    rows = Lead.objects.filter(*(one.q for one in browse.conditions.values())).order_by()
    try:
        plan = orjson.loads(rows.values_list("id").explain(format="json"))
    except EmptyResultSet:
        return 0
    return int(plan[0]["Plan"]["Plan Rows"])


register(Leads())


# --- asking, cancelling, running again ------------------------------------------------------------


def check_rights(by: Any, kind: Kind, *, is_masked: bool) -> None:
    """Raise NotAllowed unless somebody may export this, by what is known of them now."""
    needed = [MAY_EXPORT, *kind.permissions, *([] if is_masked else [MAY_EXPORT_PERSONS])]
    user: Any = get_user_model().objects.filter(pk=by.pk, is_active=True, is_staff=True).first()
    if user is None:
        raise NotAllowed(f"{by} is not of the staff any more.")
    missing = [one for one in needed if not user.has_perm(one)]
    if missing:
        raise NotAllowed(f"{by} may not export this: the permission {missing[0]} is missing.")


def kind_of(name: str) -> Kind:
    """Return what can be exported under a name; raises NotExportable."""
    if name not in KINDS:
        raise NotExportable("There is nothing of this name to export.")
    return KINDS[name]


def format_of(name: str) -> Format:
    """Return a format that can be written here; raises NotExportable."""
    found = FORMATS.get(name)
    if found is None:
        raise NotExportable("There is no such format.")
    if trouble := found.trouble():
        raise NotExportable(trouble)
    return found


def ask(
    by: Any,
    kind_name: str,
    query: str,
    format_name: str,
    *,
    is_masked: bool = True,
    reason: str = "",
    again_of: Export | None = None,
    schedule: ExportSchedule | None = None,
    estimate: Estimate | None = None,
    at: datetime | None = None,
) -> Export:
    """Have a worker make a file, and return the record of that; raises NotExportable.

    `at`: by which day a period counts that moves with it, by default today.
    """
    kind, found = kind_of(kind_name), format_of(format_name)
    is_masked |= not kind.has_persons
    check_rights(by, kind, is_masked=is_masked)
    with in_zone():
        query = kind.checked(query, by, at or timezone.now())
        if estimate is None:
            estimate = kind.estimate(query, by)
    one = recorded(by, kind, query, found, is_masked, reason)
    one.estimate = estimate.rows
    one.again_of, one.schedule = again_of, schedule
    with transaction.atomic():
        one.save(force_insert=True)
        enqueue(TASK, key=str(one), export_id=str(one.id))
    return one


def recorded(
    by: Any, kind: Kind, query: str, found: Format, is_masked: bool, reason: str
) -> Export:
    """Return the record of an export, not saved; raises NotExportable for want of a reason."""
    try:
        reason = reason_of(reason) if not is_masked or reason else ""
    except NotDecided as error:
        told = "Say why you need the persons." if not reason.strip() else str(error)
        raise NotExportable(told) from None
    one = Export(
        by=by,
        kind=kind.name,
        query=query,
        format=found.name,
        is_masked=is_masked,
        reason=reason,
        order=QueryDict(query).get("order", "newest") if kind.has_persons else "",
        columns=[field.name for field in kind.fields(query, is_masked=is_masked)],
    )
    who = "-with-persons" if not is_masked else ""
    one.file_name = f"{kind.name}{who}-{one.created_at:%Y-%m-%d}-{str(one.id)[-6:]}.{found.name}"
    return one


def cancel(one: Export) -> None:
    """Have an export leave off after the piece that it is at; raises NotExportable."""
    if Export.objects.filter(id=one.id, state=State.WAITING).update(
        state=State.CANCELLED, finished_at=timezone.now()
    ):
        return
    rows = Export.objects.under_way().filter(id=one.id)
    if not rows.update(is_cancel_wanted=True):
        raise NotExportable("Only an export that is under way can be cancelled.")


def again(one: Export) -> Export:
    """Ask for the same export once more: the same rows as of now; raises NotExportable."""
    if not one.is_over:
        raise NotExportable("This export is under way.")
    return ask(
        one.by,
        one.kind,
        one.query,
        one.format,
        is_masked=one.is_masked,
        reason=one.reason,
        again_of=one,
    )


# --- the work -------------------------------------------------------------------------------------


def work(one: Export, turn: Turn) -> Outcome:
    """Go on with an export until it is over or the turn is."""
    if one.is_over or leave_off(one, turn):
        return Outcome.DONE
    with in_zone():
        try:
            kind, found = kind_of(one.kind), format_of(one.format)
            check_rights(one.by, kind, is_masked=one.is_masked)
            begin(one, turn)
            for _ in chain(
                [] if one.is_read else read(one, kind, found, turn),
                make(one, kind, found, turn) if found.is_made else (),
            ):
                turn.rest()
                if leave_off(one, turn):
                    return Outcome.DONE
                if turn.is_over:
                    return Outcome.AGAIN
        except Stopped:
            return Outcome.DONE if leave_off(one, turn) else Outcome.AGAIN
        except NotExportable as error:
            with turn.step():
                fail(one, str(error))
                turn.finish()
            return Outcome.DONE
    with turn.step():
        one.state, one.finished_at = State.DONE, timezone.now()
        one.expires_at = one.finished_at + timedelta(hours=settings.EXPORT_KEPT_HOURS)
        one.save(update_fields=["state", "finished_at", "expires_at"])
        turn.finish()
    return Outcome.DONE


def begin(one: Export, turn: Turn) -> None:
    """Note when an export has begun, and so which rows are in it."""
    if one.state == State.WAITING:
        with turn.step():
            one.state, one.started_at = State.RUNNING, timezone.now()
            one.as_of = one.started_at
            one.save(update_fields=["state", "started_at", "as_of"])


def leave_off(one: Export, turn: Turn) -> bool:
    """Cancel an export if somebody wants that, and say whether."""
    one.refresh_from_db(fields=["is_cancel_wanted"])
    if one.is_cancel_wanted:
        with turn.step():
            one.state, one.finished_at = State.CANCELLED, timezone.now()
            one.save(update_fields=["state", "finished_at"])
            enqueue(FORGET_TASK, key=FORGET_TASK)
            turn.finish()
    return one.is_cancel_wanted


def fail(one: Export, trouble: str) -> None:
    """Write that an export has failed, and why; what there is of its file is deleted."""
    one.state, one.trouble, one.finished_at = State.FAILED, trouble, timezone.now()
    one.save(update_fields=["state", "trouble", "finished_at"])
    enqueue(FORGET_TASK, key=FORGET_TASK)


def give_up(export_id: str) -> None:
    """Write that an export has failed whose job is not tried again."""
    one = Export.objects.filter(id=export_id).first()
    if one and not one.is_over:
        fail(one, GIVEN_UP)


# --- the rows -------------------------------------------------------------------------------------


class Deflated:
    """Bytes in pieces, each deflated; made beside what the database does."""

    def __init__(self, data: bytes, digest: Any, level: int) -> None:
        self.size = len(data)
        self.pieces = []
        for start in range(0, len(data), CHUNK_BYTES):
            piece = data[start : start + CHUNK_BYTES]
            self.pieces.append((len(piece), zlib.compress(piece, level)))
        digest.update(data)


def read(one: Export, kind: Kind, found: Format, turn: Turn) -> Iterator[None]:
    """Write the rows in pieces, each in a step; yields after each.

    While one piece is written, the next one is read and deflated.
    """
    writer = found.spool(
        kind.fields(one.query, is_masked=one.is_masked), is_written=kind.is_written
    )
    digest = digest_of(one, Stage.ROWS)
    chunks = Chunks(one, Stage.ROWS)
    began = time.monotonic()
    head = writer.head() if not chunks.number else b""
    waiting: tuple[Batch, Future[Deflated]] | None = None
    with ThreadPoolExecutor(max_workers=1) as pool:
        for batch in chain(kind.batches(one), [None]):
            coming = None
            if batch and batch.count:
                data = head + writer.batch(batch.cells)
                coming = batch, pool.submit(Deflated, data, digest, FAST)
                head = b""
            if waiting:
                took, began = time.monotonic() - began, time.monotonic()
                done, deflated = waiting[0], waiting[1].result()
                if batch:
                    batch.settle()
                with turn.step():
                    chunks.write(deflated.pieces)
                    if done.taken:
                        keep(one, done.taken)
                    one.place = done.place
                    one.rows_done += done.count
                    one.size += deflated.size
                    one.worked_ms += round(took * 1000)
                    one.save(update_fields=["place", "rows_done", "size", "worked_ms"])
                yield
            waiting = coming
    with turn.step():
        if head:  # there is no row
            last = Deflated(head, digest, FAST)
            chunks.write(last.pieces)
            one.size += last.size
        one.is_read = True
        if not found.is_made:
            one.sha256 = digest.hexdigest()
        one.save(update_fields=["size", "is_read", "sha256"])
    yield


def keep(one: Export, taken: Taken) -> None:
    """Write whose person goes out, before it does."""
    now = timezone.now()
    rows = []
    for start in range(0, len(taken.ids), IDS_AT_ONCE):
        ids = taken.ids[start : start + IDS_AT_ONCE]
        ends = taken.received[start], taken.received[start + len(ids) - 1]
        first_at, last_at = sorted(map(datetime.fromisoformat, ends))
        rows.append(
            ExportedLeads(
                export=one,
                at=now,
                first_at=first_at,
                last_at=last_at + timedelta(milliseconds=1),  # to which it was cut
                ids=bytes.fromhex("".join(ids).replace("-", "")),
            )
        )
    ExportedLeads.objects.bulk_create(rows)


class Chunks:
    """The chunks of one stage of an export, to be gone on with."""

    def __init__(self, one: Export, stage: ExportChunk.Stage) -> None:
        self.one, self.stage = one, stage
        self.number = ExportChunk.objects.filter(of=one, stage=stage).count()

    def write(self, deflated: Sequence[tuple[int, bytes]]) -> None:
        """Write these after those that are there."""
        rows = [
            ExportChunk(of=self.one, stage=self.stage, number=number, size=size, data=data)
            for number, (size, data) in enumerate(deflated, self.number)
        ]
        ExportChunk.objects.bulk_create(rows)
        self.number += len(rows)


def parts_of(one: Export, stage: ExportChunk.Stage) -> Iterator[bytes]:
    """Yield what a stage of an export has written, chunk by chunk."""
    rows = ExportChunk.objects.filter(of=one, stage=stage)
    for number in range(rows.count()):
        yield zlib.decompress(rows.values_list("data", flat=True).get(number=number))


def digest_of(one: Export, stage: ExportChunk.Stage) -> Any:
    """Return the SHA-256 of what a stage has written so far, to be gone on with."""
    digest = hashlib.sha256()
    for part in parts_of(one, stage):
        digest.update(part)
    return digest


# --- files that are made of the rows --------------------------------------------------------------


def make(one: Export, kind: Kind, found: Format, turn: Turn) -> Iterator[None]:
    """Make the file of the rows, in a folder of its own, and write it in pieces.

    It cannot be gone on with: whoever dies of it begins anew. Raises Stopped if it is to leave off.
    """
    if not one.sha256:
        yield from forget(one, Stage.FILE, turn)  # of one who died of it
        with private_folder() as folder:
            make_in(folder, one, kind, found, turn)
    yield from forget(one, Stage.ROWS, turn)


def make_in(folder: Path, one: Export, kind: Kind, found: Format, turn: Turn) -> None:
    """Make the file in this folder, and write it, however long that takes; raises Stopped."""
    assert found.make
    source, target = folder / "rows", folder / one.file_name
    beat = Beat(one, turn)
    with source.open("wb") as file:
        for part in parts_of(one, Stage.ROWS):
            file.write(part)
            beat()
    fields = kind.fields(one.query, is_masked=one.is_masked)
    beside(partial(found.make, source, target, fields), beat)
    source.unlink()
    digest, chunks = hashlib.sha256(), Chunks(one, Stage.FILE)
    with target.open("rb") as file:
        while data := file.read(CHUNK_BYTES):
            deflated = Deflated(data, digest, NOT_AT_ALL)
            with turn.step():
                chunks.write(deflated.pieces)
            turn.rest()
            beat()
    with turn.step():
        one.size, one.sha256 = target.stat().st_size, digest.hexdigest()
        one.save(update_fields=["size", "sha256"])


def forget(one: Export, stage: ExportChunk.Stage, turn: Turn) -> Iterator[None]:
    """Delete the chunks of a stage, some in each step; yields after each."""
    rows = ExportChunk.objects.filter(of=one, stage=stage)
    while ids := list(rows.values_list("id", flat=True)[:FORGOTTEN_AT_ONCE]):
        with turn.step():
            ExportChunk.objects.filter(id__in=ids).delete()
        yield


class Beat:
    """Renews the lease of a job now and then, while it does what has no steps.

    Raises Stopped if somebody wants it cancelled, or the worker is to stop.
    """

    def __init__(self, one: Export, turn: Turn) -> None:
        self.one, self.turn = one, turn
        self.at = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self.at < settings.JOB_LEASE_SECONDS / 6:
            return
        with self.turn.step():
            pass
        self.at = time.monotonic()
        self.one.refresh_from_db(fields=["is_cancel_wanted"])
        if self.one.is_cancel_wanted or self.turn.is_stopping():
            raise Stopped


def beside(run: Callable[[Callable[[], bool]], None], beat: Callable[[], None]) -> None:
    """Run something long that touches no database, and go on beating meanwhile."""
    is_over = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(run, lambda: not is_over.is_set())
        try:
            while not future.done():
                beat()
                with contextlib.suppress(TimeoutError):
                    future.result(timeout=0.2)
        finally:
            is_over.set()
        future.result()


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Yield a folder that nobody else can read, and delete it; and those of workers that died."""
    sweep()
    folder = Path(tempfile.mkdtemp(prefix=FOLDER))  # of mode 700
    try:
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # which the system takes from the dead
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


NEW_FOR = timedelta(minutes=1)


def sweep() -> None:
    """Delete the folders of workers that died."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        with contextlib.suppress(OSError):
            found = folder.lstat()
            is_new = time.time() - found.st_mtime < NEW_FOR.total_seconds()
            if folder.is_symlink() or found.st_uid != os.getuid() or is_new:
                continue
            with (folder / "lock").open("w") as lock:
                if is_free(lock):
                    shutil.rmtree(folder, ignore_errors=True)


def is_free(lock: IO[str]) -> bool:
    """Say whether nobody has a lock."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# --- fetching, forgetting -------------------------------------------------------------------------


def fetched(one: Export, by: Any) -> Iterator[bytes]:
    """Write that somebody fetches a file, and return it in parts; raises NotAllowed or Gone.

    Only who asked for it, while they may.
    """
    if by.pk != one.by_id:
        raise NotAllowed("Only who asked for an export may fetch it.")
    check_rights(by, kind_of(one.kind), is_masked=one.is_masked)
    if one.state != State.DONE or not one.expires_at or one.expires_at <= timezone.now():
        raise Gone("The file is not kept any more: run the export again.")
    ExportDownload(export=one, by=by).save()
    return parts_of(one, Stage.FILE if FORMATS[one.format].is_made else Stage.ROWS)


def forget_files(turn: Turn, now: datetime) -> Outcome:
    """Delete the files that are over their time, and what failed exports have left."""
    with turn.step():
        Export.objects.over_time(now).update(state=State.EXPIRED)
    over = (State.FAILED, State.CANCELLED, State.EXPIRED)
    left = ExportChunk.objects.filter(of__state__in=over)
    while ids := list(left.values_list("id", flat=True)[:FORGOTTEN_AT_ONCE]):
        with turn.step():
            ExportChunk.objects.filter(id__in=ids).delete()
        turn.rest()
        if turn.is_over:
            return Outcome.AGAIN
    return Outcome.DONE
