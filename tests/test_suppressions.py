"""Who may not be contacted: suppressions, their scope, their end, and how spelling cannot help."""

import io
from datetime import date, timedelta
from typing import Any

import phonenumbers
import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from leads import lookback, normalize
from leads.models import Lead, RegistryList, Suppression
from leads.suppressions import AlreadyReleased, NoEvidence, NoReleaseReason, UnfitReleaseText
from sources.models import Source
from sources.rules import Mode, Rule
from tests.factories import Door, make_business, make_source, suppress
from tests.test_compliance import codes_of, status_of

KINDS = [kind for kind in Suppression.Kind if kind != Suppression.Kind.DNC_REGISTRY]
PHONE, EMAIL = "+15125550137", "ada@example.com"  # those of the usual post
CONSENTED = "Signed again on 1 November, certificate 3f…"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [PHONE, EMAIL])
def test_whoever_is_suppressed_is_held_whatever_the_kind(
    source: Source, kind: Suppression.Kind, value: str
) -> None:
    entry = suppress(value, source.business, kind=kind)
    response = Door(source).send()
    assert status_of(response) == "Blocked"
    assert codes_of(response) == ["not-accepted"]
    metadata = response.json()["metadata"]
    assert metadata["complianceBlockedReason"] == "This person may not be contacted."
    (finding,) = Lead.objects.get().findings
    assert finding["code"] == "suppressed"
    assert finding["evidence"]["suppressions"] == [
        {
            "suppression": str(entry.id),
            "kind": kind.value,
            "channel": "all",
            "match": "phone" if value == PHONE else "email",
            "since": entry.suppressed_at.isoformat(),
        }
    ]


@pytest.mark.parametrize(
    ("channel", "members", "is_held"),
    [
        ("sms", {}, True),
        ("voice", {}, True),
        ("email", {}, True),
        ("all", {}, True),
        # entries for text and calls count on the phone alone, those for e-mail on the e-mail
        ("sms", {"phone": "512-555-0199"}, False),
        ("voice", {"phone": ...}, False),
        ("email", {"email": "eve@example.com"}, False),
        ("email", {"email": ...}, False),
        ("all", {"phone": "512-555-0199"}, True),
        ("all", {"email": ...}, True),
        ("all", {"phone": "512-555-0199", "email": "eve@example.com"}, False),
    ],
)
def test_an_entry_of_both_counts_by_its_channel(
    source: Source, channel: str, members: dict[str, Any], is_held: bool
) -> None:
    suppress(PHONE, source.business, email=EMAIL, channel=channel)
    assert (status_of(Door(source).send(**members)) == "Blocked") == is_held


def test_an_opt_out_is_of_one_business_and_a_registry_of_every_one(source: Source) -> None:
    suppress(PHONE, make_business())
    assert status_of(Door(source).send()) == "Approved"
    suppress(PHONE, kind="dnc-registry")
    for one in (make_source(), make_source()):
        response = Door(one).send()
        assert (status_of(response), codes_of(response)) == ("Blocked", ["not-accepted"])
    assert {one["code"] for lead in Lead.objects.all() for one in lead.findings} == {
        "on-dnc-registry"
    }


def test_text_messages_are_opted_out_of_while_the_suppression_stands(db: None) -> None:
    source = make_source(modes={Rule.DUPLICATE: Mode.OFF})
    door = Door(source)
    first = door.send(externalId="x-1")
    assert first.json()["metadata"]["smsConsentStatus"] == "Unknown"
    since = timezone.now() - timedelta(days=3)
    entry = suppress(PHONE, source.business, channel="sms", since=since)
    for response in (
        door.send(),
        door.send(externalId="x-1"),
        door.send(externalId="x-1", phone=...),
    ):
        metadata = response.json()["metadata"]
        assert metadata["smsConsentStatus"] == "OptedOut"
        assert metadata["smsOptedOut"] is True
        assert metadata["smsOptOutAt"] == since.isoformat(timespec="milliseconds")[:-6] + "Z"
        assert metadata["smsConsentPhoneNumber"] is None
    entry.release(None, "They signed again.", CONSENTED)
    for response in (door.send(), door.send(externalId="x-1")):
        assert response.json()["metadata"]["smsOptedOut"] is False


def test_a_repeat_tells_of_the_first_leads_person_only(source: Source) -> None:
    """Else a repeat could be used to ask about anybody."""
    door = Door(source)
    first = door.send(externalId="x-1", email=...)
    suppress(EMAIL, source.business)
    again = door.send(externalId="x-1")
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["metadata"]["smsConsentStatus"] == "Unknown"
    # none of these is the person's word to this business about texts, or it stands no more
    suppress(PHONE, kind="dnc-registry")
    suppress(PHONE, make_business())
    suppress(PHONE, source.business, channel="voice")
    suppress(PHONE, source.business, channel="sms").release(None, "Signed.", CONSENTED)
    assert door.send(externalId="x-1").json()["metadata"]["smsConsentStatus"] == "Unknown"
    earlier = timezone.now() - timedelta(days=9)
    suppress(PHONE, source.business)
    suppress(PHONE, source.business, kind="complaint", since=earlier)
    metadata = door.send(externalId="x-1").json()["metadata"]
    assert metadata["smsConsentStatus"] == "OptedOut"
    assert metadata["smsOptOutAt"][:19] == earlier.isoformat()[:19]


@pytest.mark.parametrize("channel", ["voice", "email"])
def test_other_channels_are_no_opt_out_from_text_messages(source: Source, channel: str) -> None:
    suppress(PHONE, source.business, email=EMAIL, channel=channel)
    assert Door(source).send().json()["metadata"]["smsConsentStatus"] == "Unknown"


# --- entries ----------------------------------------------------------------------------------


def test_the_same_entry_twice_is_one(source: Source) -> None:
    business = source.business
    first = lookback.suppress(
        business=business, phone="(512) 555-0137", kind=Suppression.Kind.OPT_OUT
    )
    assert first.is_new
    again = lookback.suppress(
        business=business, phone="001 512 555 0137", kind=Suppression.Kind.OPT_OUT
    )
    assert (again.entry, again.is_new) == (first.entry, False)
    suppress(PHONE, business, kind="complaint")
    suppress(PHONE, business, channel="sms")
    suppress(PHONE, make_business())
    assert Suppression.objects.count() == 4
    first.entry.release(None, "They signed again.", CONSENTED)
    assert suppress(PHONE, business) != first.entry


def test_each_person_and_each_list_has_an_entry_of_its_own(source: Source) -> None:
    business = source.business
    entries = {
        suppress(PHONE, business),
        suppress("512-555-0199", business),
        suppress(EMAIL, business),
        suppress("eve@example.com", business),
        suppress(PHONE, business, email=EMAIL),
        suppress(PHONE, kind="dnc-registry"),
        suppress("512-555-0199", kind="dnc-registry"),
        suppress(PHONE, kind="dnc-registry", list_name="Texas"),
    }
    assert len(entries) == Suppression.objects.count() == 8
    for members in ({"email": ...}, {"phone": "512-555-0199", "email": ...}, {"phone": ...}):
        assert status_of(Door(source).send(**members)) == "Blocked"


def test_an_email_only_person_is_not_matched_by_entries_without_an_email(source: Source) -> None:
    suppress(PHONE, source.business)
    door = Door(source)
    first = door.send(phone=..., externalId="x-1")
    assert status_of(first) == "Approved"
    again = door.send(externalId="x-1")
    assert again.json()["metadata"]["smsConsentStatus"] == "Unknown"
    with pytest.raises(CommandError, match="Nothing stands"):
        run("unsuppress", EMAIL, "--reason", "x", "--evidence", CONSENTED)


@pytest.mark.parametrize(
    "wrong",
    [
        {"phone": ""},
        {"channel": "email"},
        {"phone": "", "email": EMAIL, "channel": "sms"},
        {"phone": "", "email": EMAIL, "channel": "voice"},
        {"since": timezone.now() + timedelta(days=1)},
        {"kind": "made-up"},
        {"channel": "fax"},
        {"business": None},
        {"list_name": "National", "listed_on": date(2026, 11, 1)},
        {"kind": "dnc-registry"},
        {"kind": "dnc-registry", "business": None},
        {"kind": "dnc-registry", "business": None, "list_name": "National"},
        {
            "kind": "dnc-registry",
            "business": None,
            "list_name": "National",
            "listed_on": date.today() + timedelta(days=3),
        },
        {"reason": "a\x00b"},
        {"provenance": "a\x00b"},
    ],
)
def test_an_entry_that_cannot_be_is_refused(source: Source, wrong: dict[str, Any]) -> None:
    given: dict[str, Any] = {
        "business": source.business,
        "phone": PHONE,
        "kind": Suppression.Kind.OPT_OUT,
    }
    with pytest.raises(ValidationError):
        lookback.suppress(**given | wrong)
    assert not Suppression.objects.exists()
    assert not RegistryList.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"phone": ""},
        {"channel": "email"},
        {"kind": "dnc-registry"},
        {"business": None},
        {"list_name": "National"},
        {"released_at": timezone.now()},
        {"release_reason": "none"},
        {"released_at": timezone.now(), "release_reason": "no evidence"},
    ],
)
def test_the_database_refuses_it_too(source: Source, wrong: dict[str, Any]) -> None:
    entry = suppress(PHONE, source.business)
    with pytest.raises(IntegrityError), transaction.atomic():
        Suppression.objects.filter(id=entry.id).update(**wrong)


def test_the_database_holds_one_standing_entry_of_a_kind(source: Source) -> None:
    for given in ({"business": source.business}, {"kind": "dnc-registry"}):
        entry = suppress(PHONE, **given)
        entry.pk, entry._state.adding = None, True
        with pytest.raises(IntegrityError), transaction.atomic():
            entry.save()


@pytest.mark.parametrize("value", ["512-555-013", "5125550137 or 8", "no number", "ada@", "@"])
def test_what_is_no_phone_or_email_is_not_suppressed(source: Source, value: str) -> None:
    with pytest.raises(normalize.Unacceptable):
        suppress(value, source.business)


# --- the end of an entry --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*KINDS, Suppression.Kind.DNC_REGISTRY])
def test_an_opt_out_ends_by_new_consent_only_and_all_else_by_a_reason(
    source: Source, kind: Suppression.Kind
) -> None:
    is_registry = kind == Suppression.Kind.DNC_REGISTRY
    entry = suppress(PHONE, None if is_registry else source.business, kind=kind)
    with pytest.raises(NoReleaseReason):
        entry.release(None, " ", CONSENTED)
    if kind in ("opt-out", "revocation"):
        with pytest.raises(NoEvidence):
            entry.release(None, "Please.")
        with pytest.raises(NoEvidence):
            entry.release(None, "Please.", "  ")
    assert status_of(Door(source).send()) == "Blocked"
    entry.release(None, "They signed again.", CONSENTED)
    assert status_of(Door(source).send()) == "Approved"
    with pytest.raises(AlreadyReleased):
        Suppression.objects.get(id=entry.id).release(None, "Once more.", CONSENTED)
    kept = Suppression.objects.get(id=entry.id)
    assert (kept.release_reason, kept.release_evidence) == ("They signed again.", CONSENTED)
    assert kept.released_at


def test_a_text_that_cannot_be_kept_ends_no_entry(source: Source) -> None:
    entry = suppress(PHONE, source.business)
    for reason, evidence in (("a\x00b", CONSENTED), ("Signed.", "a\x00b")):
        with pytest.raises(UnfitReleaseText):
            entry.release(None, reason, evidence)
    assert status_of(Door(source).send()) == "Blocked"


def test_entries_of_a_list_that_is_no_longer_used_block_nothing(source: Source) -> None:
    suppress(PHONE, kind="dnc-registry", list_name="Texas")
    assert status_of(Door(source).send()) == "Blocked"
    assert run("registry_lists") == f"Texas: of {timezone.now().date()}, 0 days old, in use.\n"
    assert run("registry_lists", "--retire", "Texas") == "Retired: Texas.\n"
    assert run("registry_lists") == "No list is in use.\n"
    assert status_of(Door(source).send()) == "Approved"
    with pytest.raises(CommandError, match="No list in use"):
        run("registry_lists", "--retire", "Texas")
    # an entry that would block nothing is not made, and not said to be there
    for phone in (PHONE, "512-555-0199"):
        with pytest.raises(ValidationError, match="no longer in use"):
            suppress(phone, kind="dnc-registry", list_name="Texas")
    RegistryList.objects.create(name="Texas", listed_on=timezone.now().date() + timedelta(days=1))
    assert status_of(Door(source).send()) == "Blocked"
    suppress("512-555-0199", kind="dnc-registry", list_name="Texas")


def test_one_entry_makes_no_list_fresh(source: Source) -> None:
    old = timezone.now().date() - timedelta(days=40)
    RegistryList.objects.create(name="National", listed_on=old)
    assert "40 days old, too old: leads are held" in run("registry_lists")
    suppress("512-555-0199", kind="dnc-registry")
    assert codes_of(Door(source).send()) == ["check-unavailable"]
    with pytest.raises(ValidationError, match="that old"):
        suppress(PHONE, kind="dnc-registry", list_name="Texas", listed_on=old)
    assert not RegistryList.objects.filter(name="Texas").exists()


def test_an_entry_is_never_deleted(source: Source) -> None:
    entry = suppress(PHONE, source.business)
    with pytest.raises(TypeError):
        entry.delete()
    with pytest.raises(TypeError):
        Suppression.objects.all().delete()
    assert Suppression.objects.get() == entry


def test_the_history_tells_both_without_the_person(source: Source, admin_user: Any) -> None:
    entry = suppress(PHONE, source.business, by=admin_user)
    entry.release(admin_user, "They signed again.", CONSENTED)
    ended, made = entry.history.all()
    assert (made.history_type, made.released_at, made.created_by) == ("+", None, admin_user)
    assert (ended.history_type, ended.release_reason) == ("~", "They signed again.")
    assert ended.released_by == admin_user
    assert not hasattr(made, "phone")
    assert not hasattr(made, "email_key")


# --- the commands ---------------------------------------------------------------------------------


def run(name: str, *words: str) -> str:
    out = io.StringIO()
    call_command(name, *words, stdout=out)
    return out.getvalue()


def test_the_commands_suppress_and_release_in_any_spelling(source: Source) -> None:
    assert run("suppress", "(512) 555-0137", "--reason", "Answered STOP.").startswith(
        f"Suppressed: opt-out, all, for {source.business}."
    )
    assert run("suppress", "512.555.0137").startswith("Suppressed before")
    entry = Suppression.objects.get()
    assert (entry.reason, entry.provenance) == ("Answered STOP.", "manage.py suppress")
    assert status_of(Door(source).send()) == "Blocked"
    with pytest.raises(CommandError, match="new consent"):
        run("unsuppress", "+1 512 555 0137", "--reason", "Please.")
    said = run("unsuppress", "+1 512 555 0137", "--reason", "Signed.", "--evidence", CONSENTED)
    assert said.startswith("Released: opt-out, all")
    assert status_of(Door(source).send()) == "Approved"
    with pytest.raises(CommandError, match="Nothing stands"):
        run("unsuppress", "+1 512 555 0137", "--reason", "Once more.")


def test_the_commands_take_both_values_kind_channel_time_and_id(source: Source) -> None:
    words = ("--kind", "complaint", "--channel", "voice", "--since", "2026-11-01T10:00")
    run("suppress", PHONE, "Ada@Example.com", *words)
    entry = Suppression.objects.get()
    assert (entry.phone, entry.email_key) == (PHONE, EMAIL)
    assert (entry.kind, entry.channel) == ("complaint", "voice")
    assert entry.suppressed_at.isoformat() == "2026-11-01T10:00:00+00:00"
    with pytest.raises(CommandError, match="Nothing stands"):
        run("unsuppress", EMAIL, "--reason", "x", "--kind", "opt-out")
    assert str(entry.id) in run("unsuppress", str(entry.id), "--reason", "Settled.")


def test_a_businesss_release_leaves_the_registries_alone(source: Source) -> None:
    suppress(PHONE, source.business)
    listed = suppress(PHONE, kind="dnc-registry")
    said = run("unsuppress", PHONE, "--reason", "Signed.", "--evidence", CONSENTED)
    assert "dnc-registry" not in said
    assert status_of(Door(make_source()).send()) == "Blocked"
    with pytest.raises(CommandError, match="Nothing stands"):
        run("unsuppress", PHONE, "--reason", "Signed.", "--business", source.business.name)
    run("unsuppress", PHONE, "--reason", "Off the list.", "--kind", "dnc-registry")
    listed.refresh_from_db()
    assert listed.released_at
    with pytest.raises(CommandError, match="phone number"):
        run("unsuppress", str(listed.id), PHONE, "--reason", "x")


def test_the_command_puts_a_person_on_a_registry(source: Source) -> None:
    words = ("--kind", "dnc-registry", "--list", "National", "--list-date", str(date.today()))
    assert "for every business" in run("suppress", PHONE, *words)
    assert RegistryList.objects.get().listed_on == date.today()
    assert status_of(Door(source).send()) == "Blocked"
    with pytest.raises(CommandError, match="list's name"):
        run("suppress", PHONE, "--kind", "dnc-registry")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("512555013",), "not a phone number"),
        (("ada@",), "not an e-mail"),
        ((PHONE, "512-555-0138"), "at most one phone"),
        ((PHONE, "--business", "nobody"), "No business"),
        ((PHONE, "--channel", "email"), "needs an e-mail"),
    ],
)
def test_the_command_says_what_is_wrong_without_the_value(
    source: Source, words: tuple[str, ...], told: str
) -> None:
    with pytest.raises(CommandError, match=told) as refused:
        run("suppress", *words)
    assert words[0] not in str(refused.value)
    assert not Suppression.objects.exists()


def test_the_commands_ask_for_the_business_when_there_are_several(source: Source) -> None:
    make_business("Other")
    with pytest.raises(CommandError, match="several businesses"):
        run("suppress", PHONE)
    run("suppress", PHONE, "--business", source.business.name)
    run("suppress", PHONE, "--business", str(source.business_id))
    assert Suppression.objects.get().business == source.business


# --- spellings ------------------------------------------------------------------------------------

# Ways to write 512-555-0137 (vanity letters: 512-JKL-01DP) for which a vendor might hope.
SCRIPTS = {
    "full width": 0xFF10,
    "Arabic-Indic": 0x0660,
    "Persian": 0x06F0,
    "Devanagari": 0x0966,
    "Bengali": 0x09E6,
    "Gujarati": 0x0AE6,
    "Tamil": 0x0BE6,
    "Thai": 0x0E50,
    "Lao": 0x0ED0,
    "Tibetan": 0x0F20,
    "Myanmar": 0x1040,
    "Khmer": 0x17E0,
    "Mongolian": 0x1810,
    "mathematical bold": 0x1D7CE,
    "mathematical double": 0x1D7D8,
    "mathematical mono": 0x1D7F6,
    "segmented": 0x1FBF0,
    "N'Ko": 0x07C0,
}
INVISIBLE = [
    *("\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u2060", "\u2061", "\u2062", "\u2063"),
    *("\ufeff", "\u00ad", "\u061c", "\u180e", "\u202a", "\u202e", "\u2066", "\u2069", "\U000e0001"),
    *("\u034f", "\ufe0f", "\u115f", "\u3164"),
]
HYPHENS = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212\uff0d\u30fc\u2043\ufe63~\u223c\uff5e"
SPACES = " \u00a0\u2002\u2003\u2007\u2009\u200a\u202f\u205f\u3000\t"
PLUSES = ["+", "\uff0b", "\u207a", "\ufe62"]


def in_script(zero: int, text: str = "5125550137") -> str:
    return "".join(chr(zero + int(one)) if one.isdigit() else one for one in text)


def phone_spellings() -> list[str]:
    """Return over 200 ways to write one phone number."""
    parts = ("512", "555", "0137")
    found = ["5125550137", "(512)555-0137", "(512) 555-0137", "512/555/0137", "512.555.0137"]
    found += [
        one.join(parts) for one in (*HYPHENS, *SPACES, ".", "/", "\u00b7", "\u2022", "_", ",")
    ]
    found += [f"512 {one} 555 {one} 0137" for one in HYPHENS]
    found += [in_script(zero) for zero in SCRIPTS.values()]
    found += [f"+1{in_script(zero)}" for zero in SCRIPTS.values()]
    found += [f"512{one}5550137" for one in INVISIBLE]
    found += [f"{one}5125550137" for one in INVISIBLE]
    found += [f"5125550137{one}" for one in INVISIBLE]
    found += ["".join(f"{one}\u200b" for one in "5125550137")]
    found += [f"{one}15125550137" for one in PLUSES]
    prefixes = [
        "1",
        "1-",
        "1 ",
        "001",
        "001 ",
        "001-",
        "00 1 ",
        "0111",
        "011 1 ",
        "011-1-",
        "+1",
        "+1 ",
    ]
    prefixes += [
        "+1-",
        "+1.",
        "(+1)",
        "+ 1 ",
        "++1",
        "+001",
        "+011 1",
        "(1)",
        "1(",
        "0",
        "00",
        "011",
    ]
    found += [f"{one}512-555-0137" for one in prefixes]
    found += [f"tel:{one}" for one in ("5125550137", "+15125550137", "+1-512-555-0137")]
    found += [
        "tel:5550137;phone-context=+1512",
        "+1(512)555-0137",
        "[512] 555 0137",
        "<5125550137>",
    ]
    found += ["512-JKL-01DP", "512-jkl-01dp", "512JKL01DP", "1-512-JKL-0-1-D-P", "512-555-O137"]
    found += ["5I2-555-0137", "512-555-0l37", "five12-555-0137", "512 555 zero137"]
    found += ["512-\uff2a\uff2b\uff2c-01\uff24\uff30"]
    extensions = [
        "x1",
        "x 12",
        "ext 5",
        "ext. 5",
        "extension 77",
        "#9",
        ";ext=5",
        ",5",
        " x1234567",
    ]
    extensions += ["\uff58\uff11", "xt 5", " int 5", "~5", ",,5#", " ext:5", "p5", "w5"]
    found += [f"512-555-0137{one}" for one in extensions]
    found += ['"5125550137"', "'5125550137", "=5125550137", "phone: 5125550137", "Tel 5125550137"]
    found += ["5125550137 5125550137", "5125550137/5125550138", "5125550137;", "5125550137."]
    found += ["\u24f9 5125550137", "\u2460", "5125550137\u20e3", "5\ufe0f\u20e312-555-0137"]
    found += [
        "\u2784\u2780\u2781-555-0137",
        "\u2464\u2460\u2461-555-0137",
        "\u2075\u00b9\u00b25550137",
    ]
    found += ["\u2085\u2081\u20825550137", "\u0665\u0661\u0662-555-0137", "\u0665125550137"]
    found += ["512 555 0137 (home)", "home 512-555-0137", "512-555-0137 or 512-555-0138"]
    return list(dict.fromkeys(found))


EMAIL_SPELLINGS = [
    "ada@example.com",
    "ADA@EXAMPLE.COM",
    "Ada@Example.Com",
    "aDa@example.COM",
    " ada@example.com ",
    "\tada@example.com\n",
    "\uff41\uff44\uff41@example.com",
    "ada@\uff45xample.com",
    "ada\uff20example.com",
    "ada@example\u3002com",
    "ada@example\uff0ecom",
    "ada@example\uff61com",
    "ada@example.com.",
    "a\u200bda@example.com",
    "ada\u200b@example.com",
    "ada@\u200bexample.com",
    "ada@exam\u00adple.com",
    "a\u00adda@example.com",
    "\ufeffada@example.com",
    "ada@example.com\u200f",
    "\u202eada@example.com",
    "a\u2060da@example.com",
    "a\u034fda@example.com",
    "ada\ufe0f@example.com",
    "a\u115fda@example.com",
    "a\u3164da@example.com",
    "a\U000e0100da@example.com",
    "a\u180bda@example.com",
    "mailto:ada@example.com",
    "Ada <ada@example.com>",
    "<ada@example.com>",
    '"ada"@example.com',
    "ada(home)@example.com",
    "ada@(work)example.com",
    "ada @example.com",
    "ada@ example.com",
    "ada@example..com",
    "ada@@example.com",
    "ada@example.com,eve@example.com",
    "ada@example.com;eve@example.com",
    "ada@example.com eve@example.com",
    "\U0001d41a\U0001d41d\U0001d41a@example.com",
    "\u24d0\u24d3\u24d0@example.com",
    "a\x00da@example.com",
    "ada%40example.com",
    "ada@[example.com]",
    "ada@ex\u1d43mple.com",
]


@pytest.fixture
def suppressed_door(db: None) -> Door:
    source = make_source(modes={Rule.DUPLICATE: Mode.OFF}, rate_per_minute=100_000)
    suppress(PHONE, source.business)
    suppress(EMAIL, source.business)
    return Door(source)


def test_no_spelling_of_a_suppressed_phone_is_approved(suppressed_door: Door) -> None:
    spellings = phone_spellings()
    assert len(spellings) >= 200
    outcomes: dict[str, list[str]] = {}
    for spelling in spellings:
        response = suppressed_door.send(phone=spelling, email=...)
        outcome = status_of(response) if response.status_code == 201 else str(response.status_code)
        outcomes.setdefault(outcome, []).append(ascii(spelling))
    assert outcomes.keys() == {"Blocked", "400"}, outcomes.get("Approved")
    assert len(outcomes["Blocked"]) > len(outcomes["400"])
    for lead in Lead.objects.all():
        # 00512… and 011512… are numbers of Peru, if of a length that Peru does not have
        expected = "suppressed" if lead.phone == PHONE else "phone-invalid"
        assert expected in [one["code"] for one in lead.findings], lead.phone
    assert Lead.objects.filter(phone=PHONE).count() >= 200


def test_each_number_is_written_in_one_way_only(suppressed_door: Door) -> None:
    """A second trunk zero, say, is taken off as well: else what is stored would be no match."""
    for zeros in ("", "0", "00", "000", "0000"):
        suppress("+61 412 345 678", suppressed_door.source.business)
        response = suppressed_door.send(phone=f"+61 {zeros} 412 345 678", email=...)
        assert response.status_code == 400 or status_of(response) == "Blocked", zeros
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number(region)
        if example is None:
            continue
        country, national = example.country_code, str(example.national_number)
        for prefix in ("", "0", "00", "1", "8", "06", "01", "(0)"):
            try:
                number = normalize.phone(f"+{country} {prefix}{national}")
            except normalize.Unacceptable:
                continue
            assert normalize.phone(number) == number, (region, prefix)


def test_no_spelling_of_a_suppressed_email_is_approved(suppressed_door: Door) -> None:
    assert len(set(EMAIL_SPELLINGS)) >= 40
    outcomes: dict[str, list[str]] = {}
    for spelling in EMAIL_SPELLINGS:
        response = suppressed_door.send(phone=..., email=spelling)
        outcome = status_of(response) if response.status_code == 201 else str(response.status_code)
        outcomes.setdefault(outcome, []).append(ascii(spelling))
    assert outcomes.keys() == {"Blocked", "400"}, outcomes.get("Approved")
    for lead in Lead.objects.all():
        assert "suppressed" in [one["code"] for one in lead.findings], lead.email


def test_a_person_suppressed_in_any_spelling_is_matched_in_the_usual_one(db: None) -> None:
    """The same normaliser stores, checks and releases."""
    for spelling in phone_spellings():
        try:
            number = normalize.phone(normalize.plain_text(spelling))
        except normalize.Unacceptable:
            continue
        entry = suppress(spelling, make_business())
        assert entry.phone == number
        assert normalize.phone(number) == number
