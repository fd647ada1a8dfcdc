"""Text in, canonical text out: the one way a value is written, compared and matched.

Intake, suppression, import and search all use these, so that no spelling slips past a check.
Each takes text that is already trimmed and raises a kind of Unacceptable for what it cannot take.
Source: contract §3.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

import email_validator
import phonenumbers

from leads import geography


class Unacceptable(ValueError):
    """The value cannot be taken."""

    code = "invalid-value"

    @property
    def sentence(self) -> str:
        """Return what to tell the vendor; it never quotes the value."""
        return type(self).__doc__ or ""


class BadCharacters(Unacceptable):
    """This holds a control character that cannot be kept."""

    code = "invalid-characters"


class BadIdCharacters(Unacceptable):
    """This holds a control or format character, which an id may not have."""

    code = "invalid-characters"


class NotAPhone(Unacceptable):
    """This is not a phone number that could be dialled; give it with area code, or as +1…."""

    code = "invalid-phone"


class NotAnEmail(Unacceptable):
    """This is not an e-mail address that mail could reach."""

    code = "invalid-email"


class NotAZip(Unacceptable):
    """This is not a ZIP code: 3 to 5 digits, or 8 or 9 with the +4."""

    code = "invalid-zip"


class NotADate(Unacceptable):
    """This is not a date of birth: YYYY-MM-DD, from 1900 on, not in the future."""

    code = "invalid-date"


class NotAChoice(Unacceptable):
    """This is none of the words that may stand here."""

    code = "invalid-choice"

    def __init__(self, words: Iterable[str]) -> None:
        super().__init__(words)
        self.words = words

    @property
    def sentence(self) -> str:
        return f"This must be one of: {', '.join(self.words)}."


class NotADecimal(Unacceptable):
    """This is not a decimal of up to 8 digits and 4 decimals, e.g. 12.50, without exponent."""

    code = "invalid-decimal"


# --- characters -------------------------------------------------------------------------------

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
LINE_ENDS = re.compile(r"[\t\r\n\u2028\u2029]+")
# What str.strip() takes away besides the separators \x1c to \x1f, which are control characters.
BLANKS = (
    "\t\n\r \x85\xa0\u1680"
    + "".join(map(chr, range(0x2000, 0x200B)))
    + "\u2028\u2029\u202f\u205f\u3000"
)


def plain_text(raw: str) -> str:
    """Return `raw` trimmed, with tabs and line ends as one space each run.

    Raises BadCharacters for any other control character.
    """
    text = raw.strip(BLANKS)
    if text.isascii() and text.isprintable():
        return text
    if CONTROL.search(text):
        raise BadCharacters
    return LINE_ENDS.sub(" ", text)


def plain_id(raw: str) -> str:
    """Return a vendor's own id, trimmed; raises BadIdCharacters for control and format ones."""
    text = raw.strip(BLANKS)
    if not (text.isascii() and text.isprintable()):
        for character in text:
            if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp"):
                raise BadIdCharacters
    return text


def without_format_characters(text: str) -> str:
    """Return `text` without what cannot be seen: zero-width, bidi and other format characters."""
    if text.isascii():
        return text
    return "".join(one for one in text if unicodedata.category(one) != "Cf")


def ascii_digits(text: str) -> str:
    """Return `text` in NFKC with the digits of every script as 0 to 9.

    `\\D` and int() would keep or take other scripts' digits, and a suppressed number slip by.
    """
    if text.isascii():
        return text
    return "".join(
        str(unicodedata.decimal(one)) if unicodedata.category(one) == "Nd" else one
        for one in unicodedata.normalize("NFKC", text)
    )


# --- contact ----------------------------------------------------------------------------------

DIAL_OUT = re.compile(r"\A[^\w+]*(?:011|00)(?=[^0-9]*[1-9])", re.ASCII)
# How nearly all numbers come, of which the library makes the same in a hundred times the time.
USUAL = re.compile(
    r"(?:\+?1[-. ]?)?(?:\(([2-9][0-9]{2})\) ?|([2-9][0-9]{2})[-. ]?)([0-9]{3})[-. ]?([0-9]{4})",
    re.ASCII,
)
PHONE_MAX_LENGTH = 100
PHONE_MAX_PARSES = 5


def phone(raw: str, region: str = "US") -> str:
    """Return `raw` in E.164, e.g. "+14155552671", an extension dropped.

    Raises NotAPhone if it cannot be parsed or cannot be a number; `phone-invalid` judges the rest.
    Source: contract §3 `phone`; ITU-T E.164.
    """
    if region == "US" and (usual := USUAL.fullmatch(raw)):
        return "+1" + "".join(filter(None, usual.groups()))
    text = DIAL_OUT.sub("+", ascii_digits(without_format_characters(raw)))
    if len(text) > PHONE_MAX_LENGTH:
        raise NotAPhone
    # One parse takes off one trunk zero, say, and leaves another spelling of the same number: until
    # it stays the same, for numbers are matched as they are written.
    for _ in range(PHONE_MAX_PARSES):
        number = _dialled(text, region)
        if number == text:
            return number
        text = number
    raise NotAPhone


def _dialled(text: str, region: str) -> str:
    """Return what one parse makes of a number, in E.164; raises NotAPhone."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        raise NotAPhone from None
    possible = phonenumbers.is_possible_number_with_reason(number)
    if possible != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise NotAPhone
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def can_phone_exist(number: str) -> bool:
    """Say whether such a number, in E.164, can exist by its country's numbering plan."""
    if NORTH_AMERICAN.fullmatch(number):
        parsed = phonenumbers.PhoneNumber(country_code=1, national_number=int(number[2:]))
        # Asked first, for the library looks at the twenty countries of the plan in turn.
        if phonenumbers.is_valid_number_for_region(parsed, "US"):
            return True
    return phonenumbers.is_valid_number(phonenumbers.parse(number))


NORTH_AMERICAN = re.compile(r"\+1[2-9][0-9]{9}", re.ASCII)


PHONE_TYPES = {
    "mobile": "Mobile",
    "cell": "Mobile",
    "landline": "Landline",
    "home": "Landline",
    "work": "Landline",
    "voip": "VoIP",
}


def phone_type(raw: str) -> str:
    """Return Mobile, Landline or VoIP for the usual words, else `raw` as sent."""
    return PHONE_TYPES.get(raw.lower(), raw)


EMAIL_MAX_LENGTH = 320
# How nearly all addresses come: of the part before the @ the library has nothing more to say, and
# of the domains most come again and again.
USUAL_EMAIL = re.compile(r"([A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*)@([A-Za-z0-9.-]+)", re.ASCII)
USUAL_EMAIL_MAX_LENGTH = 64  # in which no part of it can be too long
# What is not seen, so that two addresses would look alike: Unicode's Default_Ignorable_Code_Point.
UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)


def email(raw: str) -> str:
    """Return the address with its domain in lower-case ASCII (IDNA), the local part in NFC.

    Raises NotAnEmail. Nothing is looked up on the network.
    """
    if (usual := USUAL_EMAIL.fullmatch(raw)) and len(raw) <= USUAL_EMAIL_MAX_LENGTH:
        if domain := usual_domain(usual[2]):
            return f"{usual[1]}@{domain}"
        raise NotAnEmail
    if len(raw) > EMAIL_MAX_LENGTH or UNSEEN.search(raw):
        raise NotAnEmail
    try:
        parts = email_validator.validate_email(raw, check_deliverability=False)
    except email_validator.EmailNotValidError:
        raise NotAnEmail from None
    address = f"{parts.local_part}@{parts.ascii_domain}"
    if max(len(address), len(email_key(address))) > EMAIL_MAX_LENGTH:
        raise NotAnEmail  # NFKC makes 18 characters of one
    return address


@lru_cache(maxsize=4096)
def usual_domain(raw: str) -> str:
    """Return the domain of an ASCII address as the library has it, "" for one that is none."""
    try:
        return email_validator.validate_email(f"a@{raw}", check_deliverability=False).ascii_domain
    except email_validator.EmailNotValidError:
        return ""


def merged_email(one: str, other: str) -> str | None:
    """Return the one address that two spellings mean, None if they are not matched."""
    return one if email_key(one) == email_key(other) else None


def email_key(address: str) -> str:
    """Return what e-mail addresses are matched by: NFKC, case-folded, whole."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", address).casefold())


# --- place ------------------------------------------------------------------------------------


def state(raw: str) -> str:
    """Return the USPS code for a code or full name of a state or territory, else `raw` as sent."""
    return geography.state_code(without_format_characters(raw)) or raw


ZIP_AS_SENT_MAX_LENGTH = 20
ZIP_SEPARATORS = re.compile(r"[\s\u2010-\u2015\u2212-]+")
ZIP_DIGITS = re.compile(r"[0-9]{3,5}")
PLUS_FOUR = re.compile(r"([0-9]{4})?")


def zip_code(raw: str) -> str:
    """Return five digits or ZIP+4, e.g. "02134" or "78701-1234"; with a letter, `raw` as sent.

    Raises NotAZip for 6, 7 or any other number of digits, and for over 20 characters with letters.
    """
    text = ascii_digits(without_format_characters(raw))
    if any(one.isalpha() for one in text):
        if len(raw) > ZIP_AS_SENT_MAX_LENGTH:
            raise NotAZip
        return raw
    digits, separator, plus_four = ZIP_SEPARATORS.sub("-", text).partition("-")
    if not separator and 8 <= len(digits) <= 9:
        digits, plus_four = digits[:-4], digits[-4:]
    if not ZIP_DIGITS.fullmatch(digits) or not PLUS_FOUR.fullmatch(plus_four):
        raise NotAZip  # "2134.0" must not become 21340, nor "12345-678" 01234-5678
    five = digits.zfill(5)
    return f"{five}-{plus_four}" if plus_four else five


def merged_zip(one: str, other: str) -> str | None:
    """Return the fuller of two ZIP codes that are equal, None if they differ.

    Equal means: the same first five digits and at most one +4. Source: contract §3.
    """
    if one == other:
        return one
    longer, shorter = sorted((one, other), key=len, reverse=True)
    is_plus_four_of = ZIP_DIGITS.fullmatch(shorter) and longer[:5] == shorter
    return longer if is_plus_four_of else None


# --- person -----------------------------------------------------------------------------------

NAME_KEY_MAX_LENGTH = 201
# Apostrophes of every kind are one; commas part last name and suffix or first name.
ALIKE_IN_NAMES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc\u00b4\u0060", "'") | {",": " "})


def name_key(*names: str) -> str:
    """Return what names are searched by: without case, accents and what is not seen.

    Of a person: the last name, then the first, e.g. "garcia marquez jose".
    """
    text = " ".join(names).translate(ALIKE_IN_NAMES)
    if not text.isascii():
        apart = unicodedata.normalize("NFKD", UNSEEN.sub("", text))
        text = "".join(one for one in apart if unicodedata.category(one) not in ("Mn", "Cf"))
    return " ".join(text.casefold().split())[:NAME_KEY_MAX_LENGTH].rstrip()


GENDERS = {
    "m": "M",
    "male": "M",
    "f": "F",
    "female": "F",
    "x": "NonBinary",
    "nonbinary": "NonBinary",
    "prefernottosay": "PreferNotToSay",
}


def gender(raw: str) -> str:
    """Return M, F, NonBinary, PreferNotToSay, or Other for anything else."""
    return GENDERS.get(re.sub(r"[\W_]", "", raw).lower(), "Other")


def choice(words: Iterable[str]) -> Callable[[str], str]:
    """Return the normaliser that finds one of `words`, whatever the case, spaces or hyphens.

    It raises NotAChoice for any other.
    """
    known = {re.sub(r"[\W_]", "", str(word)).lower(): str(word) for word in words}

    def chosen(raw: str) -> str:
        if found := known.get(re.sub(r"[\W_]", "", raw).lower()):
            return found
        raise NotAChoice(known.values())

    return chosen


ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
EARLIEST_BIRTH = date(1900, 1, 1)


def birth_date(raw: str, now: datetime | None = None) -> date:
    """Return the date of a YYYY-MM-DD from 1900 to tomorrow, UTC; raises NotADate for others."""
    if not ISO_DATE.fullmatch(raw):
        raise NotADate
    try:
        born = date.fromisoformat(raw)
    except ValueError:
        raise NotADate from None
    latest = (now or datetime.now(UTC)).astimezone(UTC).date() + timedelta(days=1)
    if not EARLIEST_BIRTH <= born <= latest:
        raise NotADate
    return born


DECIMAL = re.compile(r"-?(0|[1-9]\d*)(?:\.(\d+))?", re.ASCII)


def decimal(raw: str) -> Decimal:
    """Return the number, exactly; raises NotADecimal beyond 8 integer digits and 4 decimals."""
    match = DECIMAL.fullmatch(raw)
    if not match or len(match[1]) > 8 or len(match[2] or "") > 4:
        raise NotADecimal
    return Decimal(raw) + 0  # + 0: there is no minus zero


# --- consent ----------------------------------------------------------------------------------

CERTIFICATE = re.compile(r"https://cert\.trustedform\.com/([0-9A-Fa-f]{40})", re.ASCII)


def certificate_id(url: str) -> str:
    """Return the id in a TrustedForm certificate URL, in lower-case; "" if it is not one.

    Exactly `https://cert.trustedform.com/` and 40 hex digits. Source: contract §6
    `consent-malformed`.
    """
    match = CERTIFICATE.fullmatch(url)
    return match[1].lower() if match else ""
