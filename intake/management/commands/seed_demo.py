"""Fill a database with a demo: a business, three sources and a month of leads."""

import json
import random
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from intake.authentication import Credential, credential_of
from intake.problems import Problem
from intake.receive import Arrival, keep_refused, take
from leads.lookback import suppress
from leads.models import Lead, Suppression, to_millisecond
from sources.ids import uuid7
from sources.management.lookup import ClearCommand
from sources.models import Business, Source, SourceRule, Tag, Vendor
from sources.rules import Mode, Rule

DEMO_BUSINESS = "Lone Star Home Services"
DEMO_SOURCE = "Demo source"
DEMO_USER = "demo"
DAYS = 30

DEMO_LEAD = {
    "firstName": "Ada",
    "lastName": "Moreno",
    "email": "ada.moreno@example.com",
    "phone": "(512) 555-0137",
    "address1": "98 San Jacinto Blvd",
    "city": "Austin",
    "state": "Texas",
    "zip": "78701",
    "dateOfBirth": "1984-07-19",
    "price": "12.50",
    "externalId": "demo-1",
    "trustedFormUrl": "https://cert.trustedform.com/0123456789abcdef0123456789abcdef01234567",
    "sourceMetadata": {"page": "solar-savings"},
}

# The demo lead that is pasted must not be a duplicate.
LINES = [line for line in range(100) if line != 37]
FIRST_NAMES = tuple(
    "Ada Ben Carla Dev Elena Femi Grace Hugo Iris Jon Kira Luis Maya Noor Omar Pia".split()
)
LAST_NAMES = "Abbott Baker Castillo Diaz Ellis Fong Garcia Hill Ivers Jones Khan Lopez Mora".split()
STREETS = ("Oak St", "Maple Ave", "Cedar Ln", "Main St", "Lake Dr", "Sunset Blvd")
# city, state, ZIP, area code
PLACES = (
    ("Austin", "TX", "78701", "512"),
    ("Houston", "TX", "77002", "713"),
    ("Dallas", "TX", "75201", "214"),
    ("San Antonio", "TX", "78205", "210"),
    ("Los Angeles", "CA", "90012", "213"),
    ("San Diego", "CA", "92101", "619"),
    ("Phoenix", "AZ", "85004", "602"),
    ("Denver", "CO", "80202", "303"),
    ("Miami", "FL", "33130", "305"),
    ("Tulsa", "OK", "74103", "918"),
)
# Who of them may not be contacted.
SUPPRESSED = (
    ("512-555-0111", Suppression.Kind.OPT_OUT, "Answered STOP."),
    ("213-555-0142", Suppression.Kind.LITIGATOR, "Named in three suits of this year."),
    ("303-555-0107", Suppression.Kind.COMPLAINT, "Called back and complained."),
)
PRODUCTS = ("Solar", "Roofing", "Windows")
CAMPAIGNS = ("spring-sale", "free-quote", "neighbours", "retarget")


class Command(ClearCommand):
    help = (
        "Make a demo business with three sources and, through the same code as real posts, some "
        "hundreds of leads over the last month, of every outcome. Same seed, same people."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--posts", type=int, default=400, metavar="N", help="how many posts")

    def handle(self, *args: Any, **options: Any) -> None:
        if Business.objects.filter(name=DEMO_BUSINESS).exists():
            raise CommandError(f'The demo is already there: the business "{DEMO_BUSINESS}".')
        chance = random.Random(options["seed"])
        with transaction.atomic():
            credentials = make_sources(timezone.now())
            outcomes: dict[str, int] = {}
            for made in posts(chance, options["posts"], timezone.now()):
                outcome = post(credentials[made.source], made, chance.randint(900, 4000))
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
            set_back([one.source.id for one in credentials])
        counted = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        self.stdout.write(f"Made the demo: {counted}.")


def set_back(source_ids: list[UUID]) -> None:
    """Let what has just been made and judged have been so in its time, as stories tell it."""
    ago = timedelta(days=DAYS + 1)
    Lead.objects.filter(source__in=source_ids).update(judged_at=F("received_at"))
    for history, key in ((Source.history, "id"), (SourceRule.history, "source")):
        rows = history.filter(**{f"{key}__in": source_ids})
        rows.update(history_date=F("history_date") - ago)


def make_sources(now: datetime) -> list[Credential]:
    """Return a credential for each of three new sources, each different in its rules."""
    business = Business.objects.create(name=DEMO_BUSINESS)
    tag = Tag.objects.create(business=business, name="web form")
    owner = demo_user()
    credentials = []
    for name, vendor, settings_of_it in (
        (
            DEMO_SOURCE,
            "Sunrise Forms",
            {"default_product": "Solar", "is_sms_consent_covered": True, "cost_per_lead": "9.5"},
        ),
        (
            "Bayline quotes",
            "Bayline Media",
            {
                "allowed_states": ["TX", "CA", "AZ", "CO"],
                "is_trusted_form_required": True,
                "daily_cap": 200,
                "field_map": {"cell": "phone"},
            },
        ),
        ("Homeward mailing", "Homeward Partners", {"time_zone": "America/Chicago"}),
    ):
        source = Source.objects.create(
            business=business,
            vendor=Vendor.objects.get_or_create(name=vendor)[0],
            name=name,
            owner=owner,
            **settings_of_it,
        )
        source.default_tags.add(tag)
        if name != "Homeward mailing":  # this one waits for its review
            source.approve(owner, "Consent wording and landing page read.", now)
        if name == "Bayline quotes":
            source.set_mode(Rule.UNDERAGE, Mode.REJECT)
            source.set_mode(Rule.PHONE_INVALID, Mode.FLAG)
        row, _ = source.issue_key(label="demo history", expires_at=now + timedelta(minutes=10))
        credentials.append(credential_of(row))
    for phone, kind, reason in SUPPRESSED:
        suppress(
            business=business, phone=phone, kind=kind, reason=reason, provenance="demo", by=owner
        )
    return credentials


def demo_user() -> Any:
    """Return the user who owns the demo: one who can sign in, if a password is set for it."""
    users = get_user_model()
    user = users.objects.filter(username=DEMO_USER).first()
    if user is None and settings.DEMO_PASSWORD:
        user = users.objects.create_superuser(DEMO_USER, password=settings.DEMO_PASSWORD)
    return user


@dataclass(frozen=True)
class Made:
    """A post that was made up: by which of the three sources, its body and its time."""

    source: int
    body: dict[str, Any]
    at: datetime
    is_broken: bool = False


def posts(chance: random.Random, count: int, now: datetime) -> list[Made]:
    """Return posts over the last month, oldest first: mostly good, some with a fault."""
    ages = sorted((chance.uniform(0.02, DAYS) for _ in range(count)), reverse=True)
    made: list[Made] = []
    for number, age in enumerate(ages):
        body = person(chance, number)
        (source,) = chance.choices(range(3), weights=(5, 4, 1))
        is_broken = False
        match chance.randrange(25):
            case 0:
                body["zip"] = "1234567"
            case 1:
                body["dateOfBirth"] = "2012-05-04"
            case 2:
                body.pop("trustedFormUrl")
            case 3:
                body["trustedFormUrl"] = "https://ping.trustedform.com/abc"
            case 4:
                body["phone"] = "512-155-0100"  # no exchange begins with 1
            case 5:
                body.pop("phone")
            case 6 if made:  # the vendor sends it again
                source, body = made[-1].source, made[-1].body
            case 7 if made:  # the vendor gives one id to two people
                source = made[-1].source
                body["externalId"] = made[-1].body["externalId"]
            case 8:
                is_broken = True
        made.append(Made(source, body, now - timedelta(days=age), is_broken))
    return made


def person(chance: random.Random, number: int) -> dict[str, Any]:
    """Return a flat post for a made-up person; the phone numbers are kept for fiction."""
    first, last = chance.choice(FIRST_NAMES), chance.choice(LAST_NAMES)
    city, state, zip_code, area = chance.choice(PLACES)
    born = datetime(1948, 1, 1) + timedelta(days=chance.randrange(20_000))
    return {
        "firstName": first,
        "lastName": last,
        "email": f"{first}.{last}{number}@example.com".lower(),
        "phone": f"{area}-555-01{chance.choice(LINES):02}",
        "address1": f"{chance.randrange(1, 9999)} {chance.choice(STREETS)}",
        "city": city,
        "state": state,
        "zip": zip_code,
        "dateOfBirth": born.date().isoformat(),
        "gender": chance.choice(("f", "m", "x")),
        "product": chance.choice(PRODUCTS),
        "price": f"{chance.randrange(600, 2400) / 100:.2f}",
        "subId": f"pub-{chance.randrange(1, 9)}",
        "utmSource": chance.choice(("google", "facebook", "newsletter")),
        "utmCampaign": chance.choice(CAMPAIGNS),
        "externalId": f"demo-history-{number}",
        "trustedFormUrl": f"https://cert.trustedform.com/{chance.getrandbits(160):040x}",
    }


def post(credential: Credential, made: Made, took_us: int) -> str:
    """Take one post as it would have been taken at its time, and return its outcome."""
    raw = json.dumps(made.body).encode()
    if made.is_broken:
        raw = raw[:-20]
    arrival = Arrival(
        id=uuid7(int(made.at.timestamp() * 1000)),  # by which the list of posts finds its time
        received_at=to_millisecond(made.at),
        request_id=f"demo-{made.body['externalId']}",
        method="POST",
        path="/leads/intake",
        address="203.0.113.7",
        headers={"Content-Type": "application/json", "User-Agent": "demo"},
        body=raw,
        body_size=len(raw),
    )
    try:
        received, _ = take(credential, arrival, time.perf_counter_ns() - took_us * 1000)
    except Problem as problem:
        keep_refused(credential, arrival, problem, took_us)
        return problem.type.code
    return "repeated" if received.is_repeat else received.lead.compliance_status.lower()
