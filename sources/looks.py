"""How values look on pages for staff: text of strangers, times, states, links."""

import re
import unicodedata
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from django.utils import timezone
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

# What is not seen or turns text around: shown as a mark with its code point.
UNSEEN = re.compile(
    r"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u2028-\u202f\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)


def mark_of(match: re.Match[str]) -> str:
    """Return the mark that stands for a character that is not seen."""
    one = match[0]
    name = unicodedata.name(one, "control character")
    return f'<span class="mark" title="{escape(name)}">U+{ord(one):04X}</span>'


def marked(text: Any) -> SafeString:
    """Return text of strangers for showing: escaped, on its own for direction, marks for unseen.

    Source: contract §3, "show as marks to staff".
    """
    shown = UNSEEN.sub(mark_of, escape("" if text is None else str(text)))
    return mark_safe(f"<bdi>{shown}</bdi>")


def flat(text: str) -> str:
    """Return text of strangers for where no mark can stand, as in a list of options."""
    return UNSEEN.sub(lambda match: f"[U+{ord(match[0]):04X}]", text)


def weblink(url: Any) -> SafeString:
    """Return a URL of strangers as a link if it is http or https, else as text."""
    text = "" if url is None else str(url)
    try:
        scheme = urlsplit(text).scheme.lower()
    except ValueError:
        scheme = ""
    if scheme not in ("http", "https") or UNSEEN.search(text):
        return marked(text)
    return format_html(
        '<a href="{}" rel="noopener noreferrer" target="_blank">{}</a>', text, marked(text)
    )


BADGES = {
    "Approved": "good",
    "approved": "good",
    "done": "good",
    "live": "good",
    "on": "good",
    "Blocked": "wait",
    "blocked": "wait",
    "hold": "wait",
    "waiting": "wait",
    "expiring": "wait",
    "Rejected": "bad",
    "rejected": "bad",
    "reject": "bad",
    "failed": "bad",
    "revoked": "bad",
    "silent": "bad",
    "repeated": "calm",
    "flag": "calm",
    "running": "calm",
}


def badge(word: Any, kind: str = "") -> SafeString:
    """Return a word in a badge, whose colour says how things stand."""
    text = str(word)
    return format_html(
        '<span class="badge badge-{}">{}</span>', kind or BADGES.get(text, "plain"), text
    )


def swatch(color: str) -> SafeString:
    """Return a colour like #1F6FEB as a small square, "" for none; without a style of its own."""
    if not color:
        return mark_safe("")
    return format_html(
        '<svg class="swatch" viewBox="0 0 10 10" aria-hidden="true">'
        '<rect width="10" height="10" rx="3" fill="{}"/></svg>',
        color,
    )


def ago(at: datetime | None) -> SafeString:
    """Return how long ago a moment was, or how far ahead, with the exact time on hover."""
    if at is None:
        return mark_safe('<span class="quiet">never</span>')
    seconds = (timezone.now() - at).total_seconds()
    text = f"{spell(abs(seconds))} ago" if seconds >= 0 else f"in {spell(-seconds)}"
    local = timezone.localtime(at)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.isoformat(),
        f"{local:%Y-%m-%d %H:%M:%S %Z}",
        text,
    )


def moment(at: datetime | None) -> SafeString:
    """Return a moment in the console's zone, to the second; of another year, with that."""
    if at is None:
        return mark_safe('<span class="quiet">never</span>')
    local = timezone.localtime(at)
    is_now = local.year == timezone.localdate().year
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.isoformat(),
        f"{local:%Y-%m-%d %H:%M:%S %Z}",
        f"{local:%b %-d, %H:%M:%S}" if is_now else f"{local:%b %-d, %Y, %H:%M:%S}",
    )


def spell(seconds: float) -> str:
    """Return a duration in its largest whole unit."""
    for size, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {word}"
    return f"{int(seconds)} s"


def short(key: Any) -> SafeString:
    """Return the end of an id, which tells two apart, the whole on hover."""
    text = str(key)
    return format_html('<code class="id" title="{}">…{}</code>', text, text[-8:])


def money(amount: Decimal) -> str:
    """Return an amount with two decimals, or as many as it takes: 12.50, 0.1234."""
    text = f"{amount.normalize():f}"
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals:0<2}"


def thousands(number: int) -> str:
    """Return a whole number with commas."""
    return f"{number:,}"


def percent(share: float | None) -> str:
    """Return a share with one decimal, a dash for none."""
    return "\u2013" if share is None else f"{share:.1%}"
