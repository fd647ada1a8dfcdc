"""The evidence of findings as staff read it: line by line, with links to what it names."""

from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils import timezone

from leads import masks

# Members of evidence that name a row, and the page of it.
DESK = {"lead": "desk_lead", "suppression": "leads_suppression_change"}
# Those that are moments, as they are kept.
TIMES = ("since", "received_at")

Line = tuple[str, str, str]


def told_evidence(evidence: dict[str, Any], pages: dict[str, str] | None = None) -> list[Line]:
    """Return evidence line by line: label, value, and the URL of its page, "" if it has none.

    `pages`: the name of the page of what each member names; by default those of the desk.
    """
    pages = DESK if pages is None else pages
    lines: list[Line] = []
    for name, value in evidence.items():
        if isinstance(value, list) and any(isinstance(one, dict) for one in value):
            for one in value:
                lines += told_evidence(one, pages)
        elif isinstance(value, dict):
            lines += told_evidence(value, pages)
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            url = reverse(f"admin:{pages[name]}", args=[text]) if name in pages else ""
            if name in TIMES:
                text = f"{timezone.localtime(datetime.fromisoformat(text)):%b %-d, %Y, %H:%M:%S}"
            lines.append((name.replace("_", " ").capitalize(), text, url))
    return lines


def evidence_for(
    user: Any, evidence: dict[str, Any], *, is_revealed: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return evidence as a user may be told it, and the pages to which its links may lead.

    Without what it says of suppressions, unless the user may see those; what a vendor sent is
    masked as it is elsewhere.
    """
    may_see = user.has_perm("leads.view_suppression")
    pages = {"lead": "leads_lead_change"}
    pages |= {"suppression": "leads_suppression_change"} if may_see else {}
    return _told(evidence, may_see=may_see, is_revealed=is_revealed), pages


OWN = {"state": masks.state, "product": masks.reference, "vertical": masks.reference}


def _told(evidence: dict[str, Any], *, may_see: bool, is_revealed: bool) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name, value in evidence.items():
        if name == "suppressions" and not may_see:
            continue
        if isinstance(value, dict):
            told[name] = _told(value, may_see=may_see, is_revealed=is_revealed)
        elif isinstance(value, list):
            told[name] = [
                _told(one, may_see=may_see, is_revealed=is_revealed)
                if isinstance(one, dict)
                else one
                for one in value
            ]
        elif name in OWN and isinstance(value, str) and not is_revealed:
            told[name] = OWN[name](value)
        else:
            told[name] = value
    return told
