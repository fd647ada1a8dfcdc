"""The outbox and its worker: what is asked for is done, once at least, and never lost."""

import io
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from leadping.jobs import worker
from leadping.jobs.models import Job, Worker
from leadping.jobs.tasks import (
    MAX_ATTEMPTS,
    TASKS,
    GivenUp,
    LeaseLost,
    Outcome,
    Turn,
    UnknownTask,
    enqueue,
    enqueue_many,
    task,
)
from leadping.jobs.worker import Loop, do, pause_seconds, take
from sources.models import Business

pytestmark = pytest.mark.django_db

# What the task below does next time: it writes a business, and then does this.
then: list[Callable[[Turn], Any]] = []


@task("test-atomic")
def write_a_business(turn: Turn, name: str = "Written by a job") -> Outcome | None:
    """Write a row, and then what the test wants."""
    Business.objects.create(name=name)
    outcome: Outcome | None = then.pop(0)(turn) if then else None
    return outcome


@task("test-steps", is_atomic=False)
def write_in_steps(turn: Turn, names: list[str]) -> Outcome | None:
    """Write a row in each step, unless it is there."""
    for name in names:
        with turn.step():
            Business.objects.get_or_create(name=name)
        outcome: Outcome | None = then.pop(0)(turn) if then else None
        if outcome:
            return outcome
    return Outcome.DONE


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    then.clear()
    yield
    then.clear()


def fail(error: Exception) -> Callable[[Turn], Outcome | None]:
    """Return what raises this error."""

    def raising(turn: Turn) -> Outcome | None:
        raise error

    return raising


def run_once() -> int:
    """Run a worker until nothing is due; return how many jobs it did besides the recurring."""
    before = Job.objects.finished().filter(kind__startswith="test-").count()
    Loop().run(is_once=True)
    return Job.objects.finished().filter(kind__startswith="test-").count() - before


def make_due(job: Job) -> None:
    """Let what a job waits for be over: its pause, or the lease of whoever has it."""
    Job.objects.filter(id=job.id).update(due_at=Now())


def fresh(job: Job) -> Job:
    job.refresh_from_db()
    return job


# --- asked for ------------------------------------------------------------------------------------


def test_a_job_is_done_once() -> None:
    job = enqueue("test-atomic")
    assert (job.state, job.attempts) == ("waiting", 0)
    assert run_once() == 1
    job = fresh(job)
    assert (job.state, job.attempts, job.lease, job.error) == ("done", 1, None, "")
    assert job.finished_at
    assert run_once() == 0
    assert Business.objects.count() == 1


def test_a_job_is_not_there_when_what_asked_for_it_is_undone() -> None:
    with transaction.atomic():
        enqueue("test-atomic")
        transaction.set_rollback(True)
    assert not Job.objects.exists()


def test_only_what_some_code_does_can_be_asked_for() -> None:
    with pytest.raises(UnknownTask):
        enqueue("nothing-like-it")


def test_a_job_for_later_waits() -> None:
    job = enqueue("test-atomic", after=timedelta(minutes=5))
    assert run_once() == 0
    assert fresh(job).state == "waiting"
    make_due(job)
    assert run_once() == 1


def test_of_one_key_only_one_job_is_open() -> None:
    first = enqueue("test-atomic", key="same")
    assert enqueue("test-atomic", key="same").id == first.id
    assert run_once() == 1
    assert enqueue("test-atomic", key="same", name="Second").id != first.id
    assert run_once() == 1


def test_many_are_asked_for_in_few_statements(django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(4):
        assert enqueue_many("test-atomic", ({"name": f"B{n}"} for n in range(200))) == 200
    assert run_once() == 200
    assert Business.objects.count() == 200


def test_the_oldest_comes_first() -> None:
    names = [f"B{n}" for n in range(5)]
    for number, name in enumerate(names):
        job = enqueue("test-atomic", name=name)
        Job.objects.filter(id=job.id).update(due_at=timezone.now() - timedelta(hours=9 - number))
    run_once()
    assert [one.name for one in Business.objects.order_by("id")] == names


# --- failing --------------------------------------------------------------------------------------


def test_what_fails_leaves_nothing_and_is_tried_again_later() -> None:
    then.append(fail(ValueError("ada@example.com")))
    job = enqueue("test-atomic")
    assert run_once() == 0
    job = fresh(job)
    assert (job.state, job.attempts) == ("waiting", 1)
    assert job.due_at > timezone.now()
    assert "ValueError" in job.error
    assert not Business.objects.exists()
    make_due(job)
    assert run_once() == 1
    assert (fresh(job).attempts, fresh(job).error) == (2, "")
    assert Business.objects.count() == 1


def test_neither_row_nor_log_quotes_what_went_wrong(
    log_lines: Callable[[], list[dict[str, Any]]],
) -> None:
    then.append(fail(ValueError("ada@example.com")))
    job = enqueue("test-atomic")
    run_once()
    assert "ada@example.com" not in fresh(job).error
    (line,) = [one for one in log_lines() if one["event"] == "job.failed"]
    assert "ada@example.com" not in str(line)
    assert line["error"][0]["kind"] == "ValueError"


def test_after_so_many_attempts_it_is_given_up_and_can_be_tried_again() -> None:
    job = enqueue("test-atomic")
    for _ in range(MAX_ATTEMPTS):
        then.append(fail(ValueError()))
        make_due(job)
        run_once()
    assert (fresh(job).state, fresh(job).attempts) == ("failed", MAX_ATTEMPTS)
    make_due(job)
    assert run_once() == 0
    assert job.retry()
    assert not job.retry()
    assert run_once() == 1
    assert fresh(job).attempts == 1


def test_what_cannot_be_done_is_given_up_at_once() -> None:
    then.append(fail(GivenUp("The file is gone.")))
    job = enqueue("test-atomic")
    run_once()
    assert (fresh(job).state, fresh(job).error) == ("failed", "The file is gone.")


def test_a_job_that_only_another_version_knows_is_left_to_it() -> None:
    job = enqueue("test-atomic")
    Job.objects.filter(id=job.id).update(kind="of-next-year")
    run_once()
    assert (fresh(job).state, fresh(job).attempts) == ("waiting", 0)


def test_pauses_grow_and_differ() -> None:
    first = {pause_seconds(1) for _ in range(50)}
    assert 2.5 <= min(first) < max(first) <= 5
    assert len(first) > 40
    assert 5 <= pause_seconds(2) <= 10
    assert 1800 <= pause_seconds(MAX_ATTEMPTS * 4) <= 3600


def test_what_failed_stays_failed_while_another_of_its_key_is_open() -> None:
    then.append(fail(GivenUp()))
    job = enqueue("test-atomic", key="same")
    run_once()
    enqueue("test-atomic", key="same")
    assert not job.retry()
    assert fresh(job).state == "failed"


# --- dying, and being slow ------------------------------------------------------------------------


def test_a_job_that_somebody_is_doing_is_not_taken() -> None:
    enqueue("test-atomic")
    assert take("one")
    assert take("other") is None


def test_the_job_of_a_worker_that_died_is_taken_when_its_lease_is_over() -> None:
    job = enqueue("test-atomic")
    dead = take("dead")
    assert dead
    assert fresh(job).due_at > timezone.now() + timedelta(seconds=30)
    make_due(job)
    assert run_once() == 1
    assert fresh(job).attempts == 2


def test_a_job_that_kills_every_worker_is_given_up() -> None:
    job = enqueue("test-atomic")
    for _ in range(MAX_ATTEMPTS):
        assert take("dies of it")
        make_due(job)
    assert take("next") is None
    assert fresh(job).state == "failed"
    assert "died" in fresh(job).error


def test_who_was_slow_and_lost_the_lease_writes_nothing() -> None:
    job = enqueue("test-atomic", name="Slow")
    slow = take("slow")
    assert slow
    make_due(job)
    fast = take("fast")
    assert fast
    assert not do(slow)
    assert not Business.objects.exists()
    assert fresh(job).state == "running"
    assert do(fast)
    assert Business.objects.count() == 1
    assert fresh(job).state == "done"


def test_who_was_slow_and_fails_does_not_disturb_the_other() -> None:
    job = enqueue("test-atomic")
    slow = take("slow")
    make_due(job)
    fast = take("fast")
    assert slow
    assert fast
    then.append(fail(ValueError()))
    assert not do(slow)
    assert (fresh(job).state, fresh(job).lease) == ("running", fast.lease)


def test_a_step_is_only_written_by_who_has_the_lease() -> None:
    job = enqueue("test-steps", names=["A", "B", "C"])

    def lose(turn: Turn) -> None:
        make_due(job)
        assert take("other")

    then.append(lose)
    slow = take("slow")
    assert slow
    assert not do(slow)
    assert [one.name for one in Business.objects.all()] == ["A"]
    make_due(job)
    assert run_once() == 1
    assert [one.name for one in Business.objects.order_by("name")] == ["A", "B", "C"]


def test_each_step_renews_the_lease() -> None:
    job = enqueue("test-steps", names=["A"])
    taken = take("one")
    assert taken
    assert taken.lease
    make_due(job)
    turn = Turn(job.id, taken.lease, bool, lambda turn: None)
    with turn.step():
        pass
    assert fresh(job).due_at > timezone.now() + timedelta(seconds=30)
    Job.objects.filter(id=job.id).update(state="waiting", lease=None)
    with pytest.raises(LeaseLost), turn.step():
        Business.objects.create(name="Too late")
    assert not Business.objects.exists()


def test_a_long_job_leaves_off_when_told_and_goes_on_later() -> None:
    job = enqueue("test-steps", names=["A", "B"])
    then.append(lambda turn: Outcome.AGAIN if turn.is_over else None)
    taken = take("one")
    assert taken
    assert not do(taken, is_stopping=lambda: True)
    assert (fresh(job).state, fresh(job).attempts) == ("waiting", 0)
    assert Business.objects.count() == 1
    assert run_once() == 1
    assert Business.objects.count() == 2


def test_a_turn_is_over_after_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    turn = Turn(enqueue("test-atomic").id, uuid4(), bool, lambda turn: None)
    assert not turn.is_over
    monkeypatch.setattr("leadping.jobs.tasks.TURN_SECONDS", -1)
    assert turn.is_over


def test_sigterm_ends_a_worker_after_the_job_that_it_is_at() -> None:
    def terminate(turn: Turn) -> None:
        signal.raise_signal(signal.SIGTERM)
        assert turn.is_stopping()

    then.append(terminate)
    enqueue("test-atomic", name="First")
    enqueue("test-atomic", name="Second")
    said = io.StringIO()
    handler = signal.getsignal(signal.SIGTERM)
    call_command("run_worker", stdout=said)  # not --once: only the signal ends it
    assert signal.getsignal(signal.SIGTERM) == handler
    assert Business.objects.count() == 1
    assert "jobs done." in said.getvalue()
    assert not Worker.objects.exists()


# --- what recurs, what is forgotten ---------------------------------------------------------------


def test_what_recurs_is_asked_for_once_in_its_time() -> None:
    kinds = {one.kind for one in TASKS.values() if one.every}
    assert {"forget-finished-jobs", "forget-leftovers-of-imports"} <= kinds
    worker.ask_for_what_recurs()
    worker.ask_for_what_recurs()
    assert sorted(Job.objects.values_list("kind", flat=True)) == sorted(kinds)
    run_once()
    worker.ask_for_what_recurs()
    assert Job.objects.count() == len(kinds)
    Job.objects.update(created_at=timezone.now() - timedelta(days=2))
    worker.ask_for_what_recurs()
    # But for what is never done, of which there is one for ever.
    for_ever = Job.objects.filter(kind__in=["keep-counts", "complete-counts"])
    assert for_ever.count() == 2
    assert Job.objects.count() == 2 * len(kinds) - 2


def test_done_jobs_are_forgotten_after_two_weeks_and_failed_ones_never() -> None:
    old, young, failed = (enqueue("test-atomic", name=f"B{n}") for n in range(3))
    run_once()
    Job.objects.filter(id=failed.id).update(state="failed")
    long_ago = timezone.now() - timedelta(days=15)
    Job.objects.filter(id__in=[old.id, failed.id]).update(finished_at=long_ago)
    Job.objects.filter(kind="forget-finished-jobs").delete()
    run_once()
    left = Job.objects.filter(kind="test-atomic")
    assert set(left.values_list("id", flat=True)) == {young.id, failed.id}


# --- looking at it --------------------------------------------------------------------------------


def told(*words: str) -> str:
    said = io.StringIO()
    call_command("jobs", *words, stdout=said)
    return said.getvalue()


def test_the_command_tells_how_things_stand_and_a_probe_hears_of_it() -> None:
    assert "No worker lives." in told()
    with pytest.raises(CommandError, match="No worker lives"):
        told("--check")
    Worker(name="here").beat()
    told("--check")
    then.append(fail(GivenUp("The file is gone.")))
    job = enqueue("test-atomic")
    run_once()
    assert "1 failed" in told()
    assert "The file is gone." in told()
    with pytest.raises(CommandError, match="A job has failed"):
        told("--check")
    assert "1 of 1" in told("--retry", str(job.id))
    assert "0 of 0" in told("--retry", "all")
    with pytest.raises(CommandError):
        told("--retry", str(job.id))
    Worker.objects.update(seen_at=timezone.now() - timedelta(hours=1))
    with pytest.raises(CommandError, match="No worker lives"):
        told("--check")


def test_a_heartbeat_is_one_row_for_each_worker() -> None:
    one = Worker(name="here")
    one.beat()
    seen = Worker.objects.get().seen_at
    time.sleep(0.01)
    one.beat(done=3)
    again = Worker.objects.get()
    assert again.seen_at > seen
    assert again.done == 3
    Worker.objects.all().delete()
    one.beat()
    assert Worker.objects.count() == 1


def test_no_job_can_be_in_two_states() -> None:
    job = enqueue("test-atomic")
    for wrong in ({"state": "lost"}, {"state": "running"}, {"lease": uuid4()}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Job.objects.filter(id=job.id).update(**wrong)


def test_looking_for_a_job_costs_one_statement_and_taking_one_two_more(
    django_assert_num_queries: Any,
) -> None:
    with django_assert_num_queries(1):
        assert take("one") is None
    enqueue("test-atomic")
    savepoints = 2  # the test's own transaction is open
    with django_assert_num_queries(3 + savepoints):
        assert take("one")
    assert connection.in_atomic_block
