"""The evidence of findings as staff read it: line by line, with links to what it names."""

from typing import Any

from django.urls import reverse

from leads import masks

# Members of evidence that name a row, and the page of it.
DESK = {"lead": "desk_lead", "suppression": "leads_suppression_change"}

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
            lines.append((name.replace("_", " ").capitalize(), text, url))
    return lines


def masked_evidence(evidence: dict[str, Any]) -> dict[str, Any]:
    """Return evidence with what a vendor sent as a person who is not revealed is shown."""
    own = {"state": masks.state, "product": masks.reference, "vertical": masks.reference}
    return {
        name: own[name](value) if name in own and isinstance(value, str) else value
        for name, value in evidence.items()
    }
