"""Source keys and API tokens as text: mint, check, hash, preview and blank them; pure functions.

A key is `lp_src_`, a token `sk_`, then 32 random base-62 characters and 6 of checksum, so that a
secret scanner can tell a leaked one and a mistyped one costs no look-up. With 190 random bits,
plain SHA-256 is a safe thing to store. Source: contract §2, §10.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib

PREFIX = "lp_src_"
TOKEN_PREFIX = "sk_"
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM_LENGTH = 32
CHECKSUM_LENGTH = 6

SHAPES = {
    prefix: re.compile(
        rf"{prefix}([0-9A-Za-z]{{{RANDOM_LENGTH}}})([0-9A-Za-z]{{{CHECKSUM_LENGTH}}})", re.ASCII
    )
    for prefix in (PREFIX, TOKEN_PREFIX)
}
SHAPE = SHAPES[PREFIX]

# What may be one of our credentials inside other text: a source key, an organisation token.
CREDENTIAL = re.compile(r"lp_src_[0-9A-Za-z]{6,}|(?<![0-9A-Za-z])sk_[0-9A-Za-z_-]{16,}", re.ASCII)


def _spelt(character: str) -> str:
    """Return a pattern for a character in JSON or a form: as it is, or as an escape."""
    return rf"(?:{character}|(?:\\u00|%)(?i:{ord(character):02x}))"


def _first(character: str) -> str:
    """Return the same for a key's first one; what precedes the escape is kept as `before`."""
    code = f"(?i:{ord(character):02x})"
    return rf"(?:{character}|%{code}|(?P<before_{character}>(?<!\\)(?:\\\\)*)\\u00{code})"


_REST = r"(?:[0-9A-Za-z]|(?:\\u00|%)(?i:3[0-9]|[46][1-9a-f]|[57][0-9a]))"
_REST_OF_TOKEN = r"(?:[0-9A-Za-z_-]|(?:\\u00|%)(?i:2d|5f|3[0-9]|[46][1-9a-f]|[57][0-9a]))"
_NOT_IN_A_WORD = r"(?:(?<![0-9A-Za-z])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u00[0-9A-Fa-f]{2}))"
AS_SENT = re.compile(
    (
        rf"{_first('l')}{''.join(map(_spelt, 'p_src_'))}{_REST}{{6,}}"
        rf"|{_NOT_IN_A_WORD}{_first('s')}{''.join(map(_spelt, 'k_'))}{_REST_OF_TOKEN}{{16,}}"
    ).encode(),
    re.ASCII,
)


def mint(prefix: str = PREFIX) -> str:
    """Return a new key, e.g. "lp_src_" + 38 characters. Show it once; store only its digest."""
    random = "".join(secrets.choice(BASE62) for _ in range(RANDOM_LENGTH))
    return prefix + random + checksum(random)


def checksum(random: str) -> str:
    """Return the six base-62 digits of the CRC-32 of a key's random part."""
    number = zlib.crc32(random.encode("ascii"))
    digits = ""
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits


def is_well_formed(key: str, prefix: str = PREFIX) -> bool:
    """Say whether `key` has the shape of a key with this prefix, and its checksum is right."""
    match = SHAPES[prefix].fullmatch(key)
    return match is not None and hmac.compare_digest(checksum(match[1]), match[2])


def digest(key: str) -> str:
    """Return what is stored of a key: its SHA-256, 64 hex digits."""
    return hashlib.sha256(key.encode("ascii")).hexdigest()


def preview(key: str) -> str:
    """Return what staff see of a key, e.g. "lp_src_…x7Qa" or "sk_…x7Qa"."""
    prefix = PREFIX if key.startswith(PREFIX) else TOKEN_PREFIX
    return f"{prefix}…{key[-4:]}"


def blank(text: str) -> tuple[str, bool]:
    """Return `text` with whatever looks like a key or a token blanked, and whether any did.

    What stands there instead is the same for the same key, and its number is the beginning of the
    key's digest: so two ids stay two, and staff can find which key leaked.
    """
    if "lp_src_" not in text and "sk_" not in text:
        return text, False
    blanked, count = CREDENTIAL.subn(lambda match: _blanked(match[0]), text)
    return blanked, count > 0


def blank_bytes(data: bytes) -> tuple[bytes, bool]:
    """Do as `blank` does, for bytes as they were received, keys spelt with escapes too.

    Those of JSON and of a form.
    """
    if not any(mark in data for mark in (b"lp_src_", b"sk_", b"\\u00", b"%")):
        return data, False

    def replaced(match: re.Match[bytes]) -> bytes:
        before = match["before_l"] or match["before_s"] or b""
        key = ESCAPE.sub(lambda one: bytes([int(one[1], 16)]), match[0][len(before) :])
        return before + _blanked(key.decode("ascii")).encode()

    blanked, count = AS_SENT.subn(replaced, data)
    return blanked, count > 0


ESCAPE = re.compile(rb"(?:\\u00|%)([0-9a-fA-F]{2})")


# What `blank` leaves where a key stood.
BLANKED = re.compile(r"\[key removed [0-9a-f]{8}\]")


def _blanked(key: str) -> str:
    return f"[key removed {digest(key)[:8]}]"
