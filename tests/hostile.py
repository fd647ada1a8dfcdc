"""Posts as nobody should send them, as strategies for hypothesis."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from sources import keys
from tests.factories import CERTIFICATE
from tests.test_answer import FULL_POST

ANSWERS = {201, 400, 401, 409, 411, 413, 415, 422, 429}
FORM = "application/x-www-form-urlencoded"

# Values as they stand in the JSON text, so that what no JSON library would write can be sent.
ATOMS = [
    *("null", "true", "false", "0", "-0", "1", "2134", "21340.0", "1e3", "1e999", "-1E-999"),
    *("00012", "1.", "NaN", "Infinity", "-Infinity", "9" * 32, "9" * 33, "12345678.1234"),
    *('""', '" "', '"\\t\\r\\n"', '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '"\\u0007"'),
    *('"\\u0085"', '"\\u2028"', '"\\u202eabc\\u200b"', '"\\ud83d\\ude00"', '"\\r\\nX-Evil: 1"'),
    *('"١٢٣٤٥"', '"＋1 ５１２ 555 0137"', '"tel:+15125550137;ext=9"', '"00491719999999"'),
    *('"ada@bücher.example"', '"ÄDA@example.com"', '"a@b"', '"a"', '"ada@example.com, b@c.de"'),
    *('"78701-1234"', '"787011"', '"SW1A 1AA"', '"Texas"', '"TX"', '"tx "', '"Ｔexas"'),
    *('"1984-02-30"', '"1984-07-19"', '"2999-01-01"', '"19840719"', '"٢٠٠٠-01-01"'),
    *('"10.00"', '"-0.0001"', '"1e5"', '"0x10"', '"sNaN"', '".5"', '"1,5"'),
    *("[]", "{}", '[null, 1, "a"]', "[[[[1]]]]", '{"a": {"b": 1}}', '{"a": 1, "a": 2}', "[{}]"),
    *(json.dumps("x" * length) for length in (100, 101, 255, 256, 512, 513, 2048, 2049, 5000)),
    json.dumps(CERTIFICATE),
    json.dumps(keys.PREFIX + "a1" * 19),
    json.dumps("https://cert.trustedform.com.evil.example/" + "0" * 40),
    json.dumps("' OR 1=1; --"),
    json.dumps("<script>alert(1)</script>"),
    json.dumps("=cmd()"),
]
NAMES = [*FULL_POST, "birthDate", "postalCode", "sellerLeadIdentifier", "xxTrustedFormCertUrl"]
ODD_NAMES = [
    "",
    "é",
    "a.b",
    "a/b~c",
    "ph\\u006fne",
    "PHONE",
    "z_i-p",
    "\\u0000",
    "x\\r\\ny",
    "__proto__",
]
IDS = st.sampled_from(["x-1", "x-2", "x-3"])

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
any_object = st.dictionaries(
    st.sampled_from(NAMES) | st.text(st.characters(exclude_categories=[]), max_size=12),
    json_values,
    max_size=8,
).map(lambda members: json.dumps(members).encode())


@dataclass(frozen=True)
class Sent:
    """A request, without its credentials."""

    method: str = "POST"
    path: str = "/leads/intake"
    text: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    padding: int = 0

    @property
    def body(self) -> bytes:
        """Return the bytes to send, with so many blanks at the end."""
        return self.text + b" " * self.padding


def text_of(members: list[tuple[str, str]]) -> bytes:
    """Return the JSON text of members whose names and values are JSON text already."""
    return ("{" + ", ".join(f'"{name}": {value}' for name, value in members) + "}").encode()


@st.composite
def mutated_members(draw: Any) -> list[tuple[str, str]]:
    """Return the members of a valid lead, with one or two of them changed."""
    chosen = draw(st.lists(st.sampled_from(list(FULL_POST)), unique=True, max_size=10))
    told = {name: json.dumps(FULL_POST[name]) for name in (*chosen, "phone", "email")}
    members = [(name, value) for name, value in told.items() if name != "externalId"]
    if draw(st.integers(0, 3)) == 0:
        members.append(("externalId", json.dumps(draw(IDS))))
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(members) - 1))
        name = members[place][0]
        value = draw(st.sampled_from(ATOMS) | json_values.map(json.dumps))
        kind = draw(st.sampled_from(["change", "change", "add", "rename", "twice", "leave out"]))
        if kind == "change":
            members[place] = (name, value)
        elif kind == "add":
            members.append((draw(st.sampled_from(NAMES)), value))
        elif kind == "rename":
            members[place] = (draw(st.sampled_from(ODD_NAMES)), members[place][1])
        elif kind == "twice":
            members.append((draw(st.sampled_from([name, name.upper()])), members[place][1]))
        elif len(members) > 1:
            members.pop(place)
    return members


mutated_lead = mutated_members().map(text_of)


def as_form(members: list[tuple[str, str]]) -> bytes:
    """Return members as a form, the values as their JSON text unless they are texts."""
    pairs = []
    for name, value in members:
        try:
            read = json.loads(value)
            text = read if isinstance(read, str) else value
            pairs.append(f"{quote(name)}={quote(text)}")
        except (ValueError, UnicodeEncodeError):
            pairs.append(f"{name}=%zz")
    return "&".join(pairs).encode()


def as_structured(members: list[tuple[str, str]]) -> bytes:
    """Return members as a structured post, as far as flat names stand somewhere in one."""
    contact = [one for one in members if one[0] in ("firstName", "lastName", "email", "phone")]
    rest = [one for one in members if one not in contact]
    parts = [f'"contact": {text_of(contact).decode()}', f'"metadata": {text_of(rest).decode()}']
    return ("{" + ", ".join(parts) + "}").encode()


@st.composite
def requests(draw: Any) -> Sent:
    """Return a request to one of the endpoints, odd in its members, now and then in its framing."""
    headers = {"Content-Type": "application/json"}
    if draw(st.integers(0, 4)) == 0:
        headers["Idempotency-Key"] = draw(st.sampled_from(["k-1", '"k-1"', "k-2", "no key", ""]))
    kind = draw(
        st.sampled_from(["flat", "flat", "flat", "any", "form", "query", "structured", "odd"])
    )
    if kind == "any":
        return Sent(text=draw(any_object), headers=headers)
    members = draw(mutated_members())
    if kind == "form":
        return Sent(text=as_form(members), headers=headers | {"Content-Type": FORM})
    if kind == "query":
        query = as_form(members).decode()
        return Sent("GET", f"/leads/intake?{query}", headers=headers)
    if kind == "structured":
        return Sent(path="/leads", text=as_structured(members), headers=headers)
    if kind == "odd":
        odd = draw(
            st.sampled_from(
                [
                    {"Content-Type": "text/plain"},
                    {"Content-Type": "application/json; charset=utf-7"},
                    {"Content-Encoding": "gzip"},
                    {"Accept": "application/xml"},
                    {"X-HTTP-Method-Override": "DELETE"},
                    {"Authorization": "Bearer wrong"},
                    {"Transfer-Encoding": "gzip"},
                ]
            )
        )
        text = text_of(members)
        if draw(st.booleans()):
            text = text[: draw(st.integers(0, len(text)))]
        padding = 65536 if draw(st.integers(0, 5)) == 0 else 0
        return Sent(text=text, headers=headers | odd, padding=padding)
    return Sent(text=text_of(members), headers=headers)
