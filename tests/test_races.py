"""Posts, suppressions and reviews that meet: what locks keep apart, on PostgreSQL; contract §6.

In threads of one process, each with a connection of its own, through the real endpoint. SQLite
has one writer at a time, whose transaction is the lock: there the same holds by itself.
"""

import io
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import psycopg
import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.test import Client
from django.urls import reverse

from intake import rollup, store, trouble
from intake.models import CountedZone, DayCount, Replay
from intake.replay import IsALead, Replayed, replay
from leadping.jobs.worker import Loop, do, take
from leads.caps import CapCounter
from leads.importing import start
from leads.models import Lead, LookBack, Review, SuppressionImport
from leads.proof import violations
from leads.reviews import AlreadyDecided, NotReleasable
from sources import locks
from sources.models import Source, Tag
from sources.rules import Mode, Rule
from tests.api import Api
from tests.factories import Door, make_business, make_source, suppress
from tests.test_admin import signed_in
from tests.test_desk import held
from tests.test_replay import map_cell, refused_post

THREADS, ROUNDS = 16, 20
WHERE = ("host", "port", "dbname", "user", "password")

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]


def at_once(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Do all of this at the same moment, each in a thread, and return what came of it in order."""
    assert len(works) <= THREADS  # as many connections as the pool has
    connections.close_all()
    start = threading.Barrier(len(works))
    results: list[Any] = [None] * len(works)

    def run(number: int, work: Callable[[], Any]) -> None:
        try:
            with connection.cursor() as cursor:  # connected before the start
                cursor.execute("SELECT 1")
            start.wait(30)
            results[number] = work()
        except Exception as error:
            results[number] = error
        finally:
            connections.close_all()

    threads = [
        threading.Thread(target=run, args=[number, work]) for number, work in enumerate(works)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    return results


def statuses(responses: Sequence[Any]) -> Counter[str]:
    """Count what became of posts."""
    for one in responses:
        assert getattr(one, "status_code", one) == 201, getattr(one, "content", one)
    return Counter(one.json()["metadata"]["complianceStatus"] for one in responses)


def post_of(door: Door, number: int, **members: Any) -> Callable[[], Any]:
    """Return the posting of a person by number, who has no e-mail unless given one."""
    return partial(door.send, **{"phone": f"512-555-01{number:02}", "email": ...} | members)


def fast_source(**settings: Any) -> Source:
    return make_source(rate_per_minute=100_000, **settings)


def approved(source: Source) -> int:
    return Lead.objects.filter(source=source, compliance_status="Approved").count()


@pytest.fixture(autouse=True)
def clean_connections() -> Iterator[None]:
    yield
    connections.close_all()


def test_a_cap_of_5_lets_exactly_5_of_16_be_approved() -> None:
    for number in range(ROUNDS):
        # each second time the month is what is full: then the day must not have counted either
        caps = {"daily_cap": 9, "monthly_cap": 5} if number % 2 else {"daily_cap": 5}
        source = fast_source(**caps)
        door = Door(source)
        posts = [post_of(door, one) for one in range(THREADS)]
        assert statuses(at_once(posts)) == {"Approved": 5, "Blocked": THREADS - 5}
        assert approved(source) == 5
        assert set(CapCounter.objects.filter(source=source).values_list("used", flat=True)) == {5}


def test_a_cap_counts_releases_and_arrivals_together() -> None:
    for _ in range(ROUNDS):
        source = fast_source(is_approved=False, daily_cap=5)
        door = Door(source)
        for one in range(8):
            door.send(phone=f"512-555-01{one:02}", email=...)
        held = list(Lead.objects.filter(source=source))
        source.approve(None, "", held[0].received_at)
        door = Door(source)
        releases = [partial(lead.release, None, "", "Looked at it") for lead in held]
        results = at_once([*releases, *(post_of(door, one) for one in range(50, 58))])
        assert approved(source) == 5
        refused = [one for one in results if isinstance(one, Exception)]
        assert {type(one) for one in refused} <= {NotReleasable}


def test_a_cap_that_is_set_counts_what_is_just_being_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a lead that was judged before and stored after would be missing for the whole day."""
    source = fast_source()
    door = Door(source)
    door.send(phone="512-555-0100", email=..., dateOfBirth="2020-01-01")  # warm, and no lead
    is_judged, may_write, is_saved = (threading.Event() for _ in range(3))
    real = store.write

    def held_up(*rows: Any, **more: Any) -> bool:
        monkeypatch.setattr(store, "write", real)
        is_judged.set()
        assert may_write.wait(30)
        return real(*rows, **more)

    def capping() -> None:
        assert is_judged.wait(30)
        mine = Source.objects.get(id=source.id)
        mine.daily_cap = 1
        threading.Timer(0.3, may_write.set).start()
        mine.save()
        is_saved.set()
        assert may_write.is_set()  # it had to wait

    def later() -> Any:
        assert is_saved.wait(30)
        return door.send(phone="512-555-0102", email=...)

    monkeypatch.setattr(store, "write", held_up)
    first, saved, second = at_once([post_of(door, 1), capping, later])
    assert saved is None, saved
    assert statuses([first]) == {"Approved": 1}
    assert statuses([second]) == {"Blocked": 1}


@pytest.mark.parametrize("by", ["phone", "email"])
def test_one_person_from_10_sources_at_once_is_approved_once(by: str) -> None:
    for number in range(ROUNDS):
        business = make_business()
        doors = [
            Door(fast_source(business=business, duplicate_scope="business")) for _ in range(10)
        ]

        same = {"phone": "512-555-0137"} if by == "phone" else {"email": f"ada{number}@example.com"}
        posts = [
            post_of(door, one, **{"email": f"p{one}@example.com"} | same)
            for one, door in enumerate(doors)
        ]
        assert statuses(at_once(posts)) == {"Approved": 1, "Blocked": 9}


def test_one_certificate_for_two_people_at_once_blocks_one() -> None:
    for number in range(ROUNDS):
        door = Door(fast_source())
        url = f"https://cert.trustedform.com/{number:040x}"
        posts = [post_of(door, one, trustedFormUrl=url) for one in range(2)]
        assert statuses(at_once(posts)) == {"Approved": 1, "Blocked": 1}
        (blocked,) = Lead.objects.filter(source=door.source, compliance_status="Blocked")
        assert [one["code"] for one in blocked.findings] == ["consent-reused"]


def test_no_lead_is_approved_once_its_persons_suppression_has_returned() -> None:
    """Whatever came before is looked back for, whatever comes after is held: none is in between."""
    held = looked_back = 0
    for number in range(ROUNDS):
        source = fast_source(modes={Rule.DUPLICATE: Mode.OFF})
        door = Door(source)
        door.send(phone="512-555-0100", email=...)  # warm, and of somebody else

        def suppressing(source: Source = source, *, is_late: bool = number % 2 == 1) -> int:
            give_up_at = time.monotonic() + 30
            while is_late and approved(source) < 2:  # each second time it comes in the middle
                assert time.monotonic() < give_up_at
            suppress("512-555-0137", source.business)
            return approved(source)

        posts = [door.send] * (THREADS - 1)
        *responses, at_return = at_once([*posts, suppressing])
        statuses(responses)
        assert at_return == approved(source) == 1
        looked_back += LookBack.objects.filter(lead__source=source).count()
        held += Lead.objects.filter(source=source, approved_at=None).count()
    assert list(violations()) == []
    assert held > 0  # else the suppression never met a post
    assert looked_back > 0


def test_no_lead_is_released_once_its_persons_suppression_has_returned() -> None:
    looked_back = refused = 0
    for _ in range(ROUNDS):
        source = fast_source(is_approved=False, modes={Rule.DUPLICATE: Mode.OFF})
        door = Door(source)
        for _ in range(THREADS - 1):
            door.send()
        held = list(Lead.objects.filter(source=source))

        def suppressing(source: Source = source) -> int:
            suppress("ada@example.com", source.business)
            return approved(source)

        releases = [partial(lead.release, None, "", "Looked at it") for lead in held]
        *results, at_return = at_once([*releases, suppressing])
        assert at_return == approved(source) == 0
        looked_back += LookBack.objects.filter(lead__source=source).count()
        refused += sum(isinstance(one, NotReleasable) for one in results)
        # One that was released, and blocked again before it was read once more.
        assert all(isinstance(one, Review | NotReleasable) for one in results)
    assert list(violations()) == []
    assert refused > 0
    assert looked_back > 0


def test_a_list_of_10000_that_is_imported_meets_posts_and_releases() -> None:
    """Half of the people are on the list; none of those is approved when it is in."""
    source = fast_source(is_approved=False, modes={Rule.DUPLICATE: Mode.OFF})
    door = Door(source)
    on_list, others = ([f"512-{kind}-{number:04}" for number in range(150)] for kind in (555, 556))
    for phone in (*on_list, *others):
        door.send(phone=phone, email=...)
    held = list(Lead.objects.filter(source=source))
    random.Random(1).shuffle(held)
    source.approve(None, "", held[0].received_at)
    door = Door(source)
    door.send(phone="512-555-9999", email=...)  # warm
    numbers = [f"512557{number:04}" for number in range(9850)] + on_list
    random.Random(2).shuffle(numbers)
    one = SuppressionImport(file_name="list.csv", business=source.business, kind="complaint")
    start(one, io.BytesIO("\n".join(["phone", *numbers]).encode()))
    read = SuppressionImport.objects.filter(id=one.id, state="suppressing")
    job = take("reader")
    assert job
    do(job, is_stopping=read.exists)  # so that it meets them with its entries

    def releasing(part: int) -> Counter[str]:
        done: Counter[str] = Counter()
        for lead in held[part::6]:
            try:
                lead.release(None, "", "Looked at it")
                done["released"] += 1
            except NotReleasable:
                done["refused"] += 1
        return done

    def posting(part: int) -> Counter[str]:
        return statuses(
            [door.send(phone=phone, email=...) for phone in (on_list + others)[part::6]]
        )

    *results, jobs = at_once(
        [
            *(partial(releasing, part) for part in range(6)),
            *(partial(posting, part) for part in range(6)),
            lambda: Loop().run(is_once=True),
        ]
    )
    assert all(isinstance(result, Counter) for result in results), results
    assert jobs > 0
    one.refresh_from_db()
    assert (one.state, one.rows_done) == ("done", 10_000)
    told: Counter[str] = sum(results, Counter())
    print(f"{dict(told)}, {one.leads_blocked} looked back for")
    assert list(violations()) == []
    left = Lead.objects.filter(source=source, compliance_status="Approved")
    assert left.count() == 2 * len(others) + 1
    assert not left.filter(phone__startswith="+1512555").exclude(phone="+15125559999").exists()
    assert told["refused"] > 0
    assert one.leads_blocked > 0


def test_two_suppressions_of_one_person_at_once_block_each_lead_once() -> None:
    for _ in range(ROUNDS):
        source = fast_source(modes={Rule.DUPLICATE: Mode.OFF})
        door = Door(source)
        for _ in range(5):
            assert door.send().status_code == 201
        works = [
            partial(suppress, value, source.business, kind=kind)
            for value in ("512-555-0137", "ada@example.com")
            for kind in ("opt-out", "complaint", "litigator")
        ]
        results = at_once(works)
        assert not [one for one in results if isinstance(one, Exception)], results
        assert approved(source) == 0
        assert Review.objects.filter(lead__source=source).count() == 5
        assert LookBack.objects.filter(lead__source=source).count() == 5


def test_a_post_that_is_replayed_by_many_at_once_is_one_lead() -> None:
    for number in range(ROUNDS):
        door = Door(fast_source())
        members = {"externalId": "x"} if number % 2 else {}
        post = refused_post(door, **members)
        map_cell(door.source)
        door = Door(door.source)
        posts = [partial(door.send, phone=..., email=..., cell="512-555-0137", **members)]
        works = [partial(replay, post.id, None, "Mended")] * (THREADS - 1)
        *results, response = at_once([*works, *(posts if members else [])])
        if not members:
            results.append(response)
        made = [one for one in results if isinstance(one, Replayed)]
        assert len(made) == 1
        assert {type(one) for one in results} <= {Replayed, IsALead}
        assert Lead.objects.filter(source=door.source).count() == 1
        assert Replay.objects.filter(lead__source=door.source).count() == 1
    call_command("reconcile", "--quiet", stdout=io.StringIO())


def test_of_two_reviewers_at_once_the_second_is_told() -> None:
    ben, eve = (get_user_model().objects.create_user(name) for name in ("ben", "eve"))
    for _ in range(ROUNDS):
        source = fast_source(is_approved=False)
        Door(source).send()
        lead, other = (Lead.objects.get(source=source) for _ in range(2))
        results = at_once(
            [
                partial(lead.release, ben, "", "Looked at it"),
                partial(other.reject, eve, "", "Looked at it"),
            ]
        )
        kinds = Counter(type(one) for one in results)
        assert kinds == {Review: 1, AlreadyDecided: 1}
        assert Review.objects.filter(lead=lead).count() == 1


def test_a_person_whom_the_api_suppresses_at_once_has_one_entry_and_no_approved_lead() -> None:
    source = fast_source(duplicate_window_days=0)
    door, api = Door(source), Api(source.business)
    for number in range(ROUNDS):
        person = f"512-555-01{number:02}"
        suppressing = partial(api.post, "/suppressions", {"phoneNumber": person})
        works = [suppressing] * 4 + [post_of(door, number)] * 12
        answers = at_once(works)
        assert {one.status_code for one in answers} == {201}
        assert len({one.json()["id"] for one in answers[:4]}) == 1
        assert approved(source) == 0
    blocked = Lead.objects.filter(source=source, compliance_status="Blocked")
    assert blocked.count() == 12 * ROUNDS


def test_a_suppression_that_waits_too_long_for_its_person_is_to_be_sent_again() -> None:
    api = Api(make_business())
    named = connection.get_connection_params()
    where = {name: named[name] for name in WHERE if name in named}
    sent = {"phoneNumber": "512-555-0137", "reason": "Answered STOP."}
    with psycopg.connect(**where) as other:
        wanted = locks.as_array([locks.number("phone:+15125550137")])
        other.execute(locks.LOCK.sql.encode(), [wanted])
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = 100")
        answers = [api.post(path, sent) for path in ("/suppressions", "/suppressions/release")]
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
    for one in answers:
        assert one.status_code == 503
        assert one.headers["Retry-After"]
        assert one.json()["retryable"] is True
    assert api.post("/suppressions", sent).status_code == 201


def test_a_post_that_waits_too_long_for_its_person_is_503_and_leaves_nothing() -> None:
    """Lock and look-up travel together: what is told is that the lock could not be had."""
    door = Door(fast_source())
    door.send(phone="512-555-0100", email=...)  # warm
    named = connection.get_connection_params()
    where = {name: named[name] for name in WHERE if name in named}
    with psycopg.connect(**where) as other:
        wanted = locks.as_array([locks.number("phone:+15125550137")])
        other.execute(locks.LOCK.sql.encode(), [wanted])
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = 100")
        response = door.send()
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
        assert response.status_code == 503
        assert response.headers["Retry-After"]
        assert Lead.objects.filter(source=door.source).count() == 1
    assert statuses([door.send()]) == {"Approved": 1}


def test_leads_that_share_phones_and_emails_crosswise_do_not_wait_for_each_other_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Locks are taken in one order, so there is no deadlock to be undone and tried again."""
    conflicts: list[BaseException] = []
    real = trouble.is_worth_retrying

    def noted(error: BaseException) -> bool:
        conflicts.append(error)
        return real(error)

    monkeypatch.setattr(trouble, "is_worth_retrying", noted)
    for _ in range(ROUNDS):
        door = Door(fast_source(modes={Rule.DUPLICATE: Mode.OFF}))
        posts = [
            partial(
                door.send,
                phone=f"512-555-010{one % 3}",
                email=f"p{one % 2}@example.com",
                trustedFormUrl=f"https://cert.trustedform.com/{one % 4:040x}",
            )
            for one in range(THREADS)
        ]
        statuses(at_once(posts))
    assert not conflicts


# --- the review desk ------------------------------------------------------------------------------


def reviewers(count: int) -> list[Client]:
    """Return the clients of people who may review; what they meet is answered, not raised."""
    clients = [signed_in(is_superuser=True) for _ in range(count)]
    for one in clients:
        one.raise_request_exception = False
    return clients


def test_reviewers_at_one_lead_decide_it_once_and_nobody_meets_an_error(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = False
    door = Door(make_source(is_trusted_form_required=True))
    clients = reviewers(8)
    for number in range(ROUNDS):
        lead = held(door, number)

        def decide(client: Client, number: int, lead: Lead = lead) -> int:
            page = reverse("admin:desk_lead", args=[lead.id])
            verb = ("release", "reject", "take-over", "")[number % 4]
            form = {"reason": "Mine", "shown": ["consent-missing"]}
            answer = client.post(f"{page}{verb}/", form) if verb else client.get(page)
            return int(answer.status_code)

        found = at_once([partial(decide, one, place) for place, one in enumerate(clients)])
        assert set(found) <= {200, 302, 409}, found
        decided = Review.objects.filter(lead=lead, decision__in=["release", "reject"])
        assert decided.count() <= 1


def test_a_lock_that_is_not_had_in_time_is_told_and_keeps_what_was_typed(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = False
    lead = held(Door(make_source(is_trusted_form_required=True)), 1)
    (client,) = reviewers(1)
    has_it, is_over = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():  # as an import, or a colleague, that is at this person
            locks.lock(locks.subjects(phone=lead.phone))
            has_it.set()
            is_over.wait(30)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    has_it.wait()
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = 500")
    url = reverse("admin:desk_reject", args=[lead.id])
    response = client.post(url, {"reason": "A long reason"})
    with connection.cursor() as cursor:
        cursor.execute("RESET lock_timeout")
    is_over.set()
    thread.join()
    assert response.status_code == 503
    page = response.content.decode()
    assert "A long reason" in page
    assert "Somebody else is at this person just now" in page
    lead.refresh_from_db()
    assert lead.compliance_status == Lead.Status.BLOCKED


def test_of_two_that_count_a_day_at_once_the_later_view_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the one that was slower would write what was true before."""
    door = Door(fast_source())
    post_of(door, 1)()
    is_read, may_write = threading.Event(), threading.Event()
    real = rollup.changed

    def held_up(*given: Any) -> Any:
        change = real(*given)
        if threading.current_thread().name == "slow" and not is_read.is_set():
            is_read.set()
            assert may_write.wait(30)
        return change

    monkeypatch.setattr(rollup, "changed", held_up)

    def slow() -> None:
        threading.current_thread().name = "slow"
        rollup.keep_now()

    def fast() -> None:
        assert is_read.wait(30)
        post_of(door, 2)()
        rollup.keep_now()
        may_write.set()

    assert at_once([slow, fast]) == [None, None]
    row = DayCount.objects.get(by="total", span="day", zone=door.source.time_zone)
    assert row.numbers.received == 2
    zones = CountedZone.objects.values_list("source", "zone")
    assert [fault for one in zones for fault in rollup.faults_of(*one)] == []


def test_passes_posts_and_decisions_at_once_leave_the_right_counts() -> None:
    for _ in range(3):
        source = fast_source()
        door = Door(source)
        post_of(door, 0, phone="512-155-0102")()
        lead = Lead.objects.get(source=source)
        posts = [post_of(door, one) for one in range(8)]
        release = partial(lead.release, None, "", "Looked at it")
        results = at_once([*posts, release, *([rollup.keep_now] * 4)])
        assert not [one for one in results if isinstance(one, Exception)]
        rollup.keep_now()
        zones = CountedZone.objects.filter(source=source).values_list("source", "zone")
        assert [fault for one in zones for fault in rollup.faults_of(*one)] == []
        rows = DayCount.objects.filter(source=source, by="total", span="day")
        assert {(one.received, one.approved, one.blocked) for one in rows} == {(9, 9, 0)}


# --- calls of the API -----------------------------------------------------------------------------


def api_of_a_business() -> Api:
    return Api(make_business(), ["leads:write", "sources"])


def codes(responses: Sequence[Any]) -> Counter[int]:
    """Count the statuses of answers of the API."""
    return Counter(getattr(one, "status_code", one) for one in responses)


def test_of_tags_with_one_name_that_are_made_at_once_there_is_one() -> None:
    for number in range(ROUNDS):
        api = api_of_a_business()
        names = ["Straße", "STRASSE", "strasse", "STRAẞE"] * 2  # no database sees that
        made = at_once([partial(api.post, "/tags", {"name": one}) for one in names])
        assert codes(made) == {201: 1, 400: len(names) - 1}, number
        (tag,) = Tag.objects.of(api.business.id)
        path = f"/tags/{tag.id}"
        api.delete(path)
        # Brought back, and named otherwise, by calls that lock in the same order.
        works = [
            partial(api.post, "/tags", {"name": "strasse"}),
            partial(api.put, path, {"name": "Weg"}),
            partial(api.put, path, {"name": "Straße", "color": "#111111"}),
            partial(api.delete, path),
        ]
        assert codes(at_once(works)).keys() <= {200, 201, 400}


def test_changes_of_a_source_that_meet_all_last_and_leave_one_key() -> None:
    for _ in range(ROUNDS):
        api = api_of_a_business()
        made = api.post("/sources", {"name": "Form"}).json()
        path = f"/sources/{made['id']}"
        sent: list[dict[str, Any]] = [
            {"name": "New"},
            {"costPerLead": 4},
            {"enabled": False},
            {"allowedStates": ["TX"]},
            {"requiresTrustedForm": True},
        ]
        renewals = [{"regenerateApiKey": True}] * 4
        works = [partial(api.put, path, one) for one in (*sent, *renewals)]
        assert codes(at_once(works)) == {200: len(works)}
        read = api.get(path).json()
        assert [one for one in sent if not one.items() <= read.items()] == []
        source = Source.objects.get(id=made["id"])
        assert source.keys.filter(revoked_at=None).count() == 1
        assert source.history.count() == 1 + len(sent)
        works = [partial(api.put, path, {"regenerateApiKey": True}), partial(api.delete, path)]
        assert codes(at_once(works)) in ({200: 1, 204: 1}, {404: 1, 204: 1})
        assert not source.keys.filter(revoked_at=None).exists()
