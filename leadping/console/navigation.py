"""The navigation of the console: to whom it shows what, and how much waits on the desk."""

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse

from leadping.console.desk import capped, waiting_on
from leads.reviews import DeskTab

# Group, then: label, name of the URL, the permission that it takes ("" for none).
ENTRIES: dict[str, list[tuple[str, str, str]]] = {
    "": [
        ("Home", "index", ""),
        ("Review desk", "desk", "leads.review_lead"),
        ("Leads", "leads_lead_changelist", "leads.view_lead"),
        ("Reports", "reports", "leads.view_lead"),
        ("Posts", "intake_post_changelist", "intake.view_post"),
        ("Sources", "sources_source_changelist", "sources.view_source"),
        ("Exports", "exports", "leads.export_lead"),
    ],
    "May not be contacted": [
        ("Suppressions", "leads_suppression_changelist", "leads.view_suppression"),
        ("Look-backs", "leads_lookback_changelist", "leads.view_lookback"),
        ("Imports", "leads_suppressionimport_changelist", "leads.view_suppressionimport"),
        ("Registries", "leads_registrylist_changelist", "leads.view_registrylist"),
    ],
    "On record": [
        ("Audit", "audit", "console.view_audit"),
        ("Reviews", "leads_review_changelist", "leads.view_review"),
        ("Replays", "intake_replay_changelist", "intake.view_replay"),
        ("Refusals", "intake_refusalcount_changelist", "intake.view_refusalcount"),
    ],
    "Set-up": [
        ("Businesses", "sources_business_changelist", "sources.view_business"),
        ("Vendors", "sources_vendor_changelist", "sources.view_vendor"),
        ("Keys", "sources_sourcekey_changelist", "sources.view_sourcekey"),
        ("API tokens", "sources_apitoken_changelist", "sources.view_apitoken"),
        ("Tags", "sources_tag_changelist", "sources.view_tag"),
        ("People", "auth_user_changelist", "auth.view_user"),
        ("Roles", "auth_group_changelist", "auth.view_group"),
        ("Jobs", "jobs_job_changelist", "jobs.view_job"),
        ("Workers", "jobs_worker_changelist", "jobs.view_worker"),
    ],
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One link of the navigation; `waiting` is how much waits there, "" if nothing."""

    label: str
    url: str
    is_current: bool
    waiting: str = ""


def navigation(request: HttpRequest) -> list[tuple[str, list[Entry]]]:
    """Return the groups of links that this person may follow."""
    groups = []
    for title, entries in ENTRIES.items():
        shown = []
        for label, name, permission in entries:
            if permission and not request.user.has_perm(permission):
                continue
            url = reverse(f"admin:{name}")
            is_current = request.path == url if name == "index" else request.path.startswith(url)
            shown.append(Entry(label, url, is_current, waiting() if name == "desk" else ""))
        if shown:
            groups.append((title, shown))
    return groups


def waiting() -> str:
    """Return how many leads wait in the queue of the desk, "" if none."""
    count = capped(waiting_on(DeskTab.REVIEW))
    return "" if count == "0" else count
