"""The table of fields, contract §3: names, limits, normalisation, conflicts, unknown names."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intake.bodies import Number
from intake.fields import ANY_LENGTH, BY_NAME, FIELDS, FLAT, with_names
from intake.reading import read as read_post
from intake.serializers import FlatLeadSerializer
from intake.views import listed
from leads import normalize
from leads.geography import STATES
from leads.models import Lead
from sources.names import ALIASES, FLAT_FIELDS, fold
from tests.factories import CERTIFICATE, flat_post

REACHED = {"email": "ada@example.com"}


def read(**members: Any) -> Any:
    """Read a post that has an e-mail address and these members."""
    return read_post(REACHED | members)


def codes(reading: Any) -> list[tuple[str, str]]:
    """Return the faults as (name, code)."""
    return [(one.name, one.code) for one in reading.faults]


# --- names ------------------------------------------------------------------------------------

SAMPLES: dict[str, tuple[Any, Any]] = {
    "firstName": ("Ada", "Ada"),
    "lastName": ("Moreno", "Moreno"),
    "email": ("ada@example.com", "ada@example.com"),
    "phone": ("512-555-0137", "+15125550137"),
    "phoneType": ("cell", "Mobile"),
    "dateOfBirth": ("1984-07-19", date(1984, 7, 19)),
    "address1": ("1 Oak St", "1 Oak St"),
    "address2": ("Apt 2", "Apt 2"),
    "city": ("Austin", "Austin"),
    "state": ("texas", "TX"),
    "zip": ("78701", "78701"),
    "gender": ("f", "F"),
    "subId": ("s", "s"),
    "pubId": ("p", "p"),
    "sellerLeadId": ("l", "l"),
    "externalId": ("e", "e"),
    "directPostPrice": ("1.5", Decimal("1.5")),
    "price": ("2.5", Decimal("2.5")),
    "utmSource": ("a", "a"),
    "utmMedium": ("b", "b"),
    "utmCampaign": ("c", "c"),
    "utmTerm": ("d", "d"),
    "utmContent": ("e", "e"),
    "product": ("Solar", "Solar"),
    "vertical": ("Home", "Home"),
    "referrer": ("https://a.example", "https://a.example"),
    "landingPage": ("https://b.example", "https://b.example"),
    "trustedFormUrl": (CERTIFICATE, CERTIFICATE),
    "sourceMetadata": ({"a": "b"}, {"a": "b"}),
    "tagIds": (["t"], ["t"]),
    "tagNames": (["n"], ["n"]),
}
NAMES = [(name, name) for name in FLAT_FIELDS] + list(ALIASES.items())


def snake(name: str) -> str:
    return "".join(f"_{one.lower()}" if one.isupper() else one for one in name)


@pytest.mark.parametrize(("sent", "field"), NAMES)
def test_each_field_is_taken_by_each_of_its_names_in_any_spelling(sent: str, field: str) -> None:
    value, expected = SAMPLES[field]
    for spelling in (
        sent,
        sent.upper(),
        sent.lower(),
        sent[0].upper() + sent[1:],
        snake(sent),
        snake(sent).replace("_", "-"),
    ):
        reading = read_post({**({} if field == "email" else REACHED), spelling: value})
        assert reading.values[BY_NAME[field].column] == expected
        assert (reading.faults, reading.ignored, reading.truncated) == ([], [], [])


def test_the_table_has_just_the_published_fields_and_columns_of_the_lead() -> None:
    assert tuple(one.name for one in FIELDS) == FLAT_FIELDS
    columns = {one.name for one in Lead._meta.get_fields()} | {"tag_ids", "tag_names"}
    assert {one.column for one in FIELDS} <= columns


def test_the_limits_of_the_table_fit_the_columns() -> None:
    for one in FIELDS:
        if one.column in ("tag_ids", "tag_names", "source_metadata") or one.limit == ANY_LENGTH:
            continue
        limit = getattr(Lead._meta.get_field(one.column), "max_length", None)
        assert limit is None or one.limit <= limit or one.name == "gender"


@pytest.mark.parametrize("blank", [None, "", "  ", "\t\n", "\u00a0\u2003"])
@pytest.mark.parametrize("field", FLAT_FIELDS)
def test_null_and_blanks_count_as_absent(field: str, blank: str | None) -> None:
    reading = read_post(
        {**({} if field == "email" else REACHED), "phone": "5125550137"} | {field: blank}
    )
    assert BY_NAME[field].column not in reading.values
    assert reading.faults == []


# --- limits -----------------------------------------------------------------------------------

TOO_LONG_IS_A_FAULT = {
    **dict.fromkeys(("firstName", "lastName", "product", "vertical"), 100),
    **dict.fromkeys(("address1", "address2", "city"), 200),
    **dict.fromkeys(("subId", "pubId", "sellerLeadId", "externalId"), 255),
    "phoneType": 50,
    "trustedFormUrl": 2048,
}
TOO_LONG_IS_CUT = {
    **dict.fromkeys(("utmSource", "utmMedium", "utmCampaign", "utmTerm", "utmContent"), 512),
    **dict.fromkeys(("referrer", "landingPage"), 2048),
    "state": 100,
}


@pytest.mark.parametrize(("field", "limit"), TOO_LONG_IS_A_FAULT.items())
def test_a_text_of_the_limit_is_taken_and_one_more_is_a_fault(field: str, limit: int) -> None:
    column = BY_NAME[field].column
    assert read(**{field: "é" * limit}).values[column] == "é" * limit
    reading = read(**{field: "é" * (limit + 1)})
    assert codes(reading) == [(field, "too-long")]
    assert str(limit) in reading.faults[0].detail


@pytest.mark.parametrize(("field", "limit"), TOO_LONG_IS_CUT.items())
def test_a_text_of_the_limit_is_taken_and_one_more_is_cut_and_named(field: str, limit: int) -> None:
    column = BY_NAME[field].column
    exact = read(**{field: "é" * limit})
    assert (exact.values[column], exact.truncated) == ("é" * limit, [])
    longer = read(**{field.upper(): "é" * limit + "x"})
    assert (longer.values[column], longer.truncated, longer.faults) == (
        "é" * limit,
        [field.upper()],
        [],
    )


# --- types ------------------------------------------------------------------------------------

TEXTS = [one for one in FLAT_FIELDS if one not in ("sourceMetadata", "tagIds", "tagNames")]


@pytest.mark.parametrize("field", TEXTS)
@pytest.mark.parametrize("wrong", [True, False, {}, {"a": "b"}, [], ["a"]])
def test_a_boolean_object_or_array_is_not_a_text(field: str, wrong: object) -> None:
    reading = read_post({"phone": "5125550137", "email": "a@example.com"} | {field: wrong})
    assert codes(reading) == [(field, "invalid-type")]


@pytest.mark.parametrize(
    ("field", "literal", "value"),
    [
        ("phone", "5124780137", "+15124780137"),
        ("externalId", "991", "991"),
        ("externalId", "1.50", "1.50"),
        ("externalId", "1e3", "1e3"),
        ("zip", "2134", "02134"),
        ("price", "12.50", Decimal("12.50")),
        ("firstName", "7", "7"),
    ],
)
def test_a_number_is_read_as_the_characters_that_were_sent(
    field: str, literal: str, value: object
) -> None:
    assert read(**{field: Number(literal)}).values[BY_NAME[field].column] == value


# --- characters -------------------------------------------------------------------------------


def test_texts_are_trimmed_and_line_ends_become_one_space() -> None:
    assert read(firstName="  Ada\t\r\nMay \u2028 ").values["first_name"] == "Ada May"


@pytest.mark.parametrize("bad", ["\x01", "\x0b", "\x1b", "\x7f", "\x85", "\x9f"])
def test_other_control_characters_are_a_fault(bad: str) -> None:
    assert codes(read(city=f"Aus{bad}tin")) == [("city", "invalid-characters")]
    assert codes(read(sourceMetadata={"a": f"x{bad}y"})) == [
        ("sourceMetadata", "invalid-characters")
    ]


def test_bidi_and_zero_width_characters_stay_in_names_but_not_in_ids() -> None:
    assert read(firstName="A\u202ed\u200ba").values["first_name"] == "A\u202ed\u200ba"
    for field in ("subId", "pubId", "sellerLeadId", "externalId"):
        for bad in ("\u202e", "\u200b", "\t", "\x01", "\u2028"):
            assert codes(read(**{field: f"a{bad}b"})) == [(field, "invalid-characters")]


# --- normalisation ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        "5125550137",
        "512-555-0137",
        "(512) 555-0137",
        "512.555.0137",
        "1 512 555 0137",
        "+1 512 555 0137",
        "+1 (512) 555‑0137",
        "0015125550137",
        "00 1 512 555 0137",
        "011 1 512 555 0137",
        "(011) 1 512 555 0137",
        "tel:+1-512-555-0137",
        "512-555-0137 ext. 22",
        "512-555-0137x22",
        "٥١٢٥٥٥٠١٣٧",
        "５１２－５５５－０１３７",
        "५१२५५५०१३७",
        "512\u200b555\u202e0137",
        "\ufeff5125550137",
        "512-KKK-0137",
        "5125550137" + "\u200b" * 500,
    ],
)
def test_one_phone_in_many_notations(sent: str) -> None:
    assert read(phone=sent).values["phone"] == "+15125550137"


def test_a_phone_of_another_country() -> None:
    for sent in ("+44 20 7946 0958", "0044 20 7946 0958", "011442079460958", "＋442079460958"):
        assert read(phone=sent).values["phone"] == "+442079460958"


@pytest.mark.parametrize(
    "sent",
    [
        "x",
        "12345",
        "555-0137",
        "51255501370000",
        "+999 1",
        "512" * 40,
        "\u200b",
        "(512)",
        "+",
        "x" * 999,
    ],
)
def test_what_cannot_be_dialled_is_a_fault_also_with_a_good_email(sent: str) -> None:
    assert codes(read(phone=sent)) == [("phone", "invalid-phone")]


def test_a_possible_phone_that_cannot_exist_is_taken() -> None:
    assert read(phone="512-155-0137").values["phone"] == "+15121550137"


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("Ada@EXAMPLE.com", "Ada@example.com"),
        ("ada+x@example.com", "ada+x@example.com"),
        ("a.d.a@example.com", "a.d.a@example.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
    ],
)
def test_an_email_keeps_its_local_part_and_gets_an_ascii_domain(sent: str, stored: str) -> None:
    assert read_post({"email": sent}).values["email"] == stored


@pytest.mark.parametrize(
    "sent",
    [
        *("x", "a@", "@b.com", "a b@example.com", "a@b@example.com", "a@example"),
        *("a\u200b@example.com", "a" * 400 + "@example.com", "\ufdfa" * 20 + "@example.com"),
    ],
)
def test_a_malformed_email_is_a_fault_whatever_the_phone(sent: str) -> None:
    reading = read_post({"email": sent, "phone": "5125550137"})
    assert codes(reading) == [("email", "invalid-email")]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        *[(one, "Mobile") for one in ("mobile", "Cell", "MOBILE")],
        *[(one, "Landline") for one in ("landline", "home", "Work")],
        ("voip", "VoIP"),
        ("VoIP", "VoIP"),
        ("satellite", "satellite"),
    ],
)
def test_phone_types(sent: str, stored: str) -> None:
    assert read(phoneType=sent).values["phone_type"] == stored


@pytest.mark.parametrize(("code", "name"), STATES.items())
def test_a_state_by_code_or_name_becomes_its_code(code: str, name: str) -> None:
    for sent in (code, code.lower(), name, name.upper(), f" {name.lower()} "):
        assert read(state=sent).values["state"] == code


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("D.C.", "DC"),
        ("Washington, D.C.", "DC"),
        ("U.S. Virgin Islands", "VI"),
        ("new  york", "NY"),
        ("Ontario", "Ontario"),
        ("tx.", "TX"),
        ("ZZ", "ZZ"),
        ("Texas\u200b", "TX"),
        ("\uff34\uff38", "TX"),
        ("Armed Forces Europe, the Middle East, and Canada", "AE"),
        ("Armed Forces Americas (except Canada)", "AA"),
    ],
)
def test_other_states_are_kept_as_sent(sent: str, stored: str) -> None:
    assert read(state=sent).values["state"] == stored


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("78701", "78701"),
        ("2134", "02134"),
        ("501", "00501"),
        ("78701-1234", "78701-1234"),
        ("787011234", "78701-1234"),
        ("21341234", "02134-1234"),
        ("78701 1234", "78701-1234"),
        ("78701\u22121234", "78701-1234"),
        ("2134-1234", "02134-1234"),
        ("78701-", "78701"),
        ("٧٨٧٠١", "78701"),
        ("K1A 0B1", "K1A 0B1"),
        ("A" * 20, "A" * 20),
    ],
)
def test_zip_codes(sent: str, stored: str) -> None:
    assert read(zip=sent).values["postal_code"] == stored


@pytest.mark.parametrize(
    "sent",
    [
        *("1", "12", "123456", "1234567", "1234567890", "2134.0", "787/01", "A" * 21, "-"),
        *("12345-678", "12345-67890", "123-45", "\u1369\u136a\u136b", "1-2-3", "7" * 999),
    ],
)
def test_what_is_no_zip_is_a_fault(sent: str) -> None:
    assert codes(read(zip=sent)) == [("zip", "invalid-zip")]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        *[(one, "M") for one in ("m", "M", "male", "Male")],
        *[(one, "F") for one in ("f", "FEMALE")],
        *[(one, "NonBinary") for one in ("x", "nonbinary", "Non-Binary", "NonBinary")],
        *[(one, "PreferNotToSay") for one in ("prefer not to say", "PreferNotToSay")],
        *[(one, "Other") for one in ("other", "?", "robot")],
    ],
)
def test_genders(sent: str, stored: str) -> None:
    assert read(gender=sent).values["gender"] == stored


def test_the_day_after_tomorrow_is_no_date_of_birth() -> None:
    now = datetime(2026, 11, 23, 23, 59, 59, tzinfo=UTC)
    assert normalize.birth_date("2026-11-24", now) == date(2026, 11, 24)
    with pytest.raises(normalize.NotADate):
        normalize.birth_date("2026-11-25", now)


def test_births_from_1900_until_tomorrow_utc() -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    for born in (date(1900, 1, 1), date(2000, 2, 29), tomorrow):
        assert read(dateOfBirth=born.isoformat()).values["birth_date"] == born


@pytest.mark.parametrize(
    "sent",
    [
        "1899-12-31",
        "2001-02-29",
        "1984-13-01",
        "1984-7-19",
        "19840719",
        "07/19/1984",
        "1984-07-19T00:00:00Z",
        "9999-12-31",
        "١٩٨٤-07-19",
    ],
)
def test_what_is_no_date_of_birth_is_a_fault(sent: str) -> None:
    assert codes(read(dateOfBirth=sent)) == [("dateOfBirth", "invalid-date")]


@pytest.mark.parametrize("field", ["price", "directPostPrice"])
@pytest.mark.parametrize(
    ("sent", "value"),
    [
        ("0", "0"),
        ("10", "10"),
        ("-1.5", "-1.5"),
        ("12345678", "12345678"),
        ("12345678.1234", "12345678.1234"),
        ("0.10", "0.10"),
    ],
)
def test_prices_are_exact(field: str, sent: str, value: str) -> None:
    for form in (sent, Number(sent)):
        assert read(**{field: form}).values[BY_NAME[field].column] == Decimal(value)


@pytest.mark.parametrize("field", ["price", "directPostPrice"])
@pytest.mark.parametrize(
    "sent",
    [
        *("123456789", "1.12345", "1e3", "1E2", "+1", "01", "00012", ".5", "5.", "$5", "1,000"),
        *("NaN", "Infinity", "١٠", "--1", "1 0"),
    ],
)
def test_what_is_no_price_is_a_fault(field: str, sent: str) -> None:
    for form in (sent, Number(sent)):
        assert codes(read(**{field: form})) == [(field, "invalid-decimal")]


def test_price_and_direct_post_price_are_two_values() -> None:
    values = read(price="1", directPostPrice="2").values
    assert (values["price"], values["direct_post_price"]) == (Decimal(1), Decimal(2))


def test_source_metadata_becomes_texts_in_order_of_their_keys() -> None:
    sent = {"z": " x ", "b": True, "c": False, "a": Number("1.50"), "n": None, "e": ""}
    values = read(sourceMetadata=sent).values["source_metadata"]
    assert list(values.items()) == [
        ("a", "1.50"),
        ("b", "true"),
        ("c", "false"),
        ("e", ""),
        ("z", "x"),
    ]


@pytest.mark.parametrize(
    ("good", "bad", "code"),
    [
        ({str(n): "x" for n in range(50)}, {str(n): "x" for n in range(51)}, "too-many"),
        ({"k" * 64: "x"}, {"k" * 65: "x"}, "too-long"),
        ({"k": "x" * 1000}, {"k": "x" * 1001}, "too-long"),
        ({"k": "x"}, {"k": {"a": "b"}}, "invalid-type"),
        ({"k": "x"}, {"k": ["a"]}, "invalid-type"),
        ({"k": "x"}, {"k\x01": "x"}, "invalid-characters"),
        ({"k": "x"}, {"k\n": "x"}, "invalid-characters"),
        ({}, "text", "invalid-type"),
        ({}, [], "invalid-type"),
    ],
)
def test_limits_of_source_metadata(good: object, bad: object, code: str) -> None:
    assert read(sourceMetadata=good).faults == []
    assert codes(read(sourceMetadata=bad)) == [("sourceMetadata", code)]


@pytest.mark.parametrize("field", ["tagIds", "tagNames"])
def test_limits_of_tags(field: str) -> None:
    wrong: object
    reading = read(**{field: [" a ", Number("7"), None, "", *["x"] * 16]})
    assert reading.values[BY_NAME[field].column] == ["a", "7", *["x"] * 16]
    assert codes(read(**{field: ["x"] * 21})) == [(field, "too-many")]
    for wrong in ("x", {}, True, [True], [{}], [["x"]]):
        assert codes(read(**{field: wrong})) == [(field, "invalid-type")]
    assert read(**{field: []}).values == {"email": "ada@example.com"}


# --- aliases and conflicts --------------------------------------------------------------------


def test_emails_are_matched_by_their_letters_whatever_the_case_and_width() -> None:
    for other in ("ADA@example.com", "\uff21da@EXAMPLE.com", "ada@example.com"):
        assert normalize.email_key(normalize.email(other)) == "ada@example.com"
    for other in ("a.da@example.com", "ada+x@example.com", "ada@example.org"):
        assert normalize.email_key(normalize.email(other)) != "ada@example.com"
    reading = read_post({"email": "Ada@example.com", "Email": "ada@EXAMPLE.com"})
    assert (reading.faults, reading.values["email"]) == ([], "Ada@example.com")


@pytest.mark.parametrize("literal", ["5.12478013e9", "-5124780137", "5124780137.0"])
def test_a_number_that_is_not_just_digits_is_no_phone_and_no_zip(literal: str) -> None:
    assert codes(read(phone=Number(literal))) == [("phone", "invalid-phone")]
    assert codes(read(zip=Number(literal))) == [("zip", "invalid-zip")]


@pytest.mark.parametrize(
    ("members", "column", "value"),
    [
        ({"dateOfBirth": "1984-07-19", "birthDate": "1984-07-19"}, "birth_date", date(1984, 7, 19)),
        ({"dateOfBirth": "", "birthDate": "1984-07-19"}, "birth_date", date(1984, 7, 19)),
        ({"zip": "2134", "postalCode": "02134"}, "postal_code", "02134"),
        ({"zip": "78701", "postalCode": "78701-1234"}, "postal_code", "78701-1234"),
        ({"zip": "78701-1234", "postalCode": "78701"}, "postal_code", "78701-1234"),
        ({"zip": None, "postalCode": "78701"}, "postal_code", "78701"),
        ({"sellerLeadId": "a", "sellerLeadIdentifier": " a "}, "seller_lead_id", "a"),
        ({"Phone": "512 555 0137", "phone": "+15125550137"}, "phone", "+15125550137"),
        ({"trustedFormUrl": "u", "xxTrustedFormCertUrl": "u"}, "trusted_form_url", "u"),
        ({"price": "1.0", "Price": "1.00"}, "price", Decimal(1)),
    ],
)
def test_aliases_that_mean_the_same_are_fine(
    members: dict[str, Any], column: str, value: object
) -> None:
    reading = read(**members)
    assert reading.faults == []
    assert reading.values[column] == value


@pytest.mark.parametrize(
    "members",
    [
        {"dateOfBirth": "1984-07-19", "birthDate": "1984-07-20"},
        {"zip": "78701", "postalCode": "78702"},
        {"zip": "78701-1234", "postalCode": "78701-9999"},
        {"zip": "K1A 0", "postalCode": "K1A 0B1"},
        {"sellerLeadId": "a", "sellerLeadIdentifier": "b"},
        {"trustedFormUrl": "u", "xxTrustedFormCertUrl": "v"},
        {"FirstName": "Ada", "first_name": "Eve"},
    ],
)
def test_aliases_that_differ_are_a_conflict_that_names_each(members: dict[str, Any]) -> None:
    reading = read(**members)
    assert codes(reading) == [(name, "conflicting-values") for name in members]
    assert all(name in reading.faults[0].detail for name in members)


def test_three_zips_of_which_two_disagree_on_the_plus_four_are_a_conflict() -> None:
    members = {"zip": "78701-1234", "postalCode": "78701", "ZIP": "78701-9999"}
    assert len(read(**members).faults) == 3


def test_a_lead_needs_a_phone_or_an_email() -> None:
    assert codes(read_post({"firstName": "Ada"})) == [
        ("phone", "missing-contact"),
        ("email", "missing-contact"),
    ]
    assert codes(read_post({"phone": "", "email": None})) == codes(read_post({}))
    assert read_post({"phone": "5125550137"}).faults == []
    assert read_post({"email": "ada@example.com"}).faults == []


def test_all_faults_are_told_at_once_by_the_vendors_names() -> None:
    reading = read_post({"Phone": "x", "Zip": "1", "DOB": "y", "price": "z", "state": "TX"})
    assert codes(reading) == [
        ("Phone", "invalid-phone"),
        ("Zip", "invalid-zip"),
        ("price", "invalid-decimal"),
    ]


# --- a source's own names, and names that nobody knows ----------------------------------------


def test_a_source_maps_further_names_onto_fields() -> None:
    plan = with_names(FLAT, {"Cell": "phone", "gone": "noSuchField"})
    reading = read_post({"CELL": "5125550137", "gone": "x"}, plan)
    assert reading.values == {"phone": "+15125550137"}
    assert reading.ignored == ["gone"]
    conflict = read_post({"cell": "5125550137", "phone": "5125550199"}, plan)
    assert codes(conflict) == [("cell", "conflicting-values"), ("phone", "conflicting-values")]
    assert with_names(FLAT, {}) is FLAT


def test_names_that_nobody_knows_are_no_fault() -> None:
    reading = read(favourite={"deep": [1]}, other=None)
    assert (reading.faults, reading.ignored) == ([], ["favourite", "other"])


def test_a_source_may_keep_unknown_names_in_its_metadata_as_far_as_they_fit() -> None:
    members = REACHED | {
        "sourceMetadata": {"a": "1", "page": "x"},
        "colour": "green",
        "page": "y",
        "deep": {"a": 1},
        "flag": True,
        "k" * 65: "too long",
        "none": None,
    }
    reading = read_post(members)
    reading.keep_unknown()
    assert reading.values["source_metadata"] == {
        "a": "1",
        "colour": "green",
        "flag": "true",
        "page": "x",
    }
    assert reading.ignored == ["page", "deep", "k" * 65, "none"]
    assert reading.faults == []
    full = {**REACHED, "sourceMetadata": {str(n): "x" for n in range(50)}, "one": "more"}
    reading = read_post(full)
    reading.keep_unknown()
    assert reading.ignored == ["one"]


def test_the_header_lists_twenty_names_and_counts_the_rest() -> None:
    assert listed([]) == ""
    assert listed(["b", "a"]) == "a, b"
    assert listed([f"n{n:02}" for n in range(20)]).count(",") == 19
    assert listed([f"n{n:02}" for n in range(23)]).endswith("n19, +3 more")
    assert listed(["ok", "not ok", "né", "1st", "a" * 65, "x\r\ny"]) == "ok, +5 more"
    assert listed(["lp_src_abcdefghij"]) == "+1 more"


# --- the serializer says the same as the table --------------------------------------------------

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=20),
    st.sampled_from([sent for sent, _ in SAMPLES.values()]),
    st.sampled_from([Number("1"), Number("78701"), Number("1e3"), "x" * 300, "x" * 3000, "a\x01"]),
    st.lists(st.text(max_size=5), max_size=22),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)
SPELLINGS = st.sampled_from(
    [spelling for name, _ in NAMES for spelling in (name, name.upper(), snake(name))] + ["other"]
)


def assert_agree(serializer: Any, reading: Any) -> None:
    """Check that a serializer says of a post what the table says."""
    if serializer.is_valid():
        assert reading.faults == []
        assert serializer.validated_data == reading.values
    else:
        told: dict[str, list[str]] = {}
        for fault in reading.faults:
            told.setdefault(fault.name, []).append(fault.detail)
        assert serializer.errors == told


# The first draw of a text loads Unicode's tables, which takes seconds.
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(SPELLINGS, VALUES, max_size=8))
def test_the_serializer_agrees_with_the_table(members: dict[str, Any]) -> None:
    assert_agree(FlatLeadSerializer(data=members), read_post(members))


def test_the_serializer_lists_every_name() -> None:
    assert set(FlatLeadSerializer().fields) == set(FLAT_FIELDS) | set(ALIASES)
    assert {fold(str(name)) for name in FlatLeadSerializer().fields} == set(FLAT)
    assert FlatLeadSerializer(data=flat_post()).is_valid()
    assert FlatLeadSerializer({"first_name": "Ada"}).fields["firstName"].to_representation(1) == 1
