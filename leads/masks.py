"""Personal data as everybody may see it: enough to tell two people apart, not to reach one.

Source: contract §9; issue "masked by default": `+1512•••••37`, `a•••@e•••.com`, year of birth.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from leads import geography, normalize
from leads.models import Lead

HIDDEN = "•••"
LONG_NUMBER = 11  # in E.164, with its plus: of shorter ones two digits tell too much
SHORTEST_SHOWN = 3
COMMON_ENDINGS = {"com", "net", "org", "edu", "gov", "us", "io", "co", "info", "biz", "mil", "ca"}
DASHES = re.compile("[\u2010-\u2015\u2212]")
# Ten or eleven digits by themselves, as a US phone has them.
REACHES = re.compile(r"(?<!\d)1?[2-9]\d{2}[-. )]*[2-9]\d{2}[-. ]*\d{4}(?!\d)")


def phone(number: str) -> str:
    """Return a phone in E.164 with country, area and the last two digits: `+1512•••••37`."""
    if not number:
        return ""
    shown = 5 if number.startswith("+1") else 3
    if len(number) < LONG_NUMBER:
        return number[:2] + HIDDEN
    return number[:shown] + "•" * (len(number) - shown - 2) + number[-2:]


def email(address: str) -> str:
    """Return an address with the first letters and the top-level domain: `a•••@e•••.com`."""
    local, at, domain = address.rpartition("@")
    if not at:
        return HIDDEN if address else ""
    name, _, top = domain.rpartition(".")
    ending = f".{top}" if top in COMMON_ENDINGS else ""
    return f"{first(local)}{HIDDEN}@{first(name)}{HIDDEN}{ending}"


def name(text: str) -> str:
    """Return the first letter of a name."""
    return first(text) + HIDDEN if text else ""


def first(text: str) -> str:
    """Return the first letter of what has three or more."""
    return text[:1] if len(text) >= SHORTEST_SHOWN else ""


def state(text: str) -> str:
    """Return a USPS code; what a vendor sent instead may be anything."""
    return text if text in geography.STATES else hidden(text)


def phone_type(text: str) -> str:
    """Return one of our words; what a vendor sent instead may be anything."""
    return text if text in normalize.PHONE_TYPES.values() else hidden(text)


def reference(text: str) -> str:
    """Return a vendor's own id or word, unless it looks like an e-mail address or a phone.

    Looks like one to a reader: whatever the script of its digits, and what is not seen in it.
    """
    seen = DASHES.sub("-", normalize.without_format_characters(normalize.ascii_digits(text)))
    return HIDDEN if "@" in seen or REACHES.search(seen) else text


# What names of fields look like; source: contract §3, `Leadping-Ignored-Fields`.
NAME = re.compile(r"(?!.*\d{7})[A-Za-z][A-Za-z0-9_.\[\]-]{0,63}")


def member(name: str) -> str:
    """Return the name of a member that a vendor chose, if it can be no value in a wrong place."""
    return name if NAME.fullmatch(name) and reference(name) == name else HIDDEN


def year(born: Any) -> str:
    """Return the year of a date of birth."""
    return str(born.year) if born else ""


def postal_code(text: str) -> str:
    """Return the first three characters, which name a region of some hundred thousand people."""
    return text[:3] + "••" if text else ""


def address(ip: str | None) -> str:
    """Return the first half of an IP address."""
    if not ip:
        return ""
    mark = ":" if ":" in ip else "."
    return mark.join(ip.split(mark)[:2]) + mark + HIDDEN


def site(url: str) -> str:
    """Return the host of a URL, whose path and query may name the person."""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    return f"{host}/{HIDDEN}" if host else HIDDEN if url else ""


def hidden(text: Any) -> str:
    """Return dots for whatever there is."""
    return HIDDEN if text not in (None, "", {}) else ""


@dataclass(frozen=True, slots=True)
class Shown:
    """One value of a person as it is shown, and whether it is masked."""

    label: str
    text: str
    is_masked: bool


# What of a lead says who the person is: label, field, mask.
PERSONAL = (
    ("First name", "first_name", name),
    ("Last name", "last_name", name),
    ("Phone", "phone", phone),
    ("Phone type", "phone_type", phone_type),
    ("E-mail", "email", email),
    ("Born", "birth_date", year),
    ("Gender", "gender", hidden),
    ("Address", "address_line1", hidden),
    ("Address 2", "address_line2", hidden),
    ("City", "city", hidden),
    ("State", "state", state),
    ("ZIP", "postal_code", postal_code),
    ("Country", "country", reference),
    ("More", "additional_info", hidden),
    ("IP address", "ip_address", address),
    ("Browser", "user_agent", hidden),
    ("Landing page", "landing_page", site),
    ("Referrer", "referrer", site),
)
# Of structured posts, told only when revealed.
PRIVATE = (
    *("height", "weight", "marital_status", "income", "is_homeowner", "months_at_residence"),
    *("credit_score", "has_bankruptcy", "employment_type", "number_of_dependents"),
    "has_medical_condition",
)


def person_of(lead: Lead, *, is_revealed: bool) -> list[Shown]:
    """Return what is known of the person, in order, masked unless it has been revealed."""
    rows = []
    for label, field, mask in PERSONAL:
        value = getattr(lead, field)
        if value not in (None, ""):
            text = str(value) if is_revealed else mask(value)
            rows.append(Shown(label, text, not is_revealed and text != str(value)))
    for field in PRIVATE:
        value = getattr(lead, field)
        if value not in (None, ""):
            label = field.removeprefix("is_").removeprefix("has_").replace("_", " ").capitalize()
            rows.append(Shown(label, str(value) if is_revealed else HIDDEN, not is_revealed))
    for key, value in sorted(lead.source_metadata.items()):
        label = f"· {key if is_revealed else member(key)}"
        rows.append(Shown(label, value if is_revealed else HIDDEN, not is_revealed))
    return rows


# A vendor's own ids and words.
REFERENCES = (
    *("sub_id", "pub_id", "external_id", "seller_lead_id", "product", "vertical"),
    *("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"),
)
# What only a value of its kind may stand for: masked, it is not told at all.
TYPED = ("birth_date", "gender", *PRIVATE)


def masked(lead: Lead) -> Lead:
    """Return a copy of a lead, not to be saved, of which everybody may see all."""
    shown = copy.copy(lead)
    for _, field, mask in PERSONAL:
        setattr(shown, field, mask(getattr(lead, field)))
    for field in REFERENCES:
        setattr(shown, field, reference(getattr(lead, field)))
    for field in TYPED:
        setattr(shown, field, "" if isinstance(getattr(lead, field), str) else None)
    shown.trusted_form_url = certificate(lead.trusted_form_url, lead.certificate_id)
    shown.source_metadata = {member(key): HIDDEN for key in lead.source_metadata}
    return shown


def who(lead: Lead) -> str:
    """Return the masked person in one line, for lists."""
    return person(lead.first_name, lead.last_name, lead.phone, lead.email) or "erased"


def person(first_name: str, last_name: str, number: str, address: str) -> str:
    """Return the masked person in one line, "" for one of whom nothing is left."""
    return in_one_line(name(first_name), name(last_name), phone(number) or email(address))


def in_one_line(first_name: str, last_name: str, number: str, address: str = "") -> str:
    """Return who somebody is and how they are reached, in one line, as it is given."""
    named = f"{first_name} {last_name}" if first_name and last_name else first_name or last_name
    reached = number or address
    return f"{named} · {reached}" if named and reached else named or reached


def certificate(url: str, certificate_id: str) -> str:
    """Return the URL of a certificate; of what came in its place, and may name the person, less."""
    return url if certificate_id else site(url)
