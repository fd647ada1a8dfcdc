"""Is the service alive, and can it keep its promise? For balancers, supervisors and people."""

from collections.abc import Callable

from django.db import Error as DatabaseProblem
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse


class HealthMiddleware:
    """Answer `/healthz` (alive, no I/O) and `/readyz` (may it be sent traffic?).

    They stand before the check of the `Host` header, since probes call by address.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path == "/healthz":
            return sized(HttpResponse("alive\n", content_type="text/plain"))
        if request.path == "/readyz":
            faults = readiness_faults()
            status = 503 if faults else 200
            return sized(JsonResponse({"ready": not faults, "faults": faults}, status=status))
        return self.get_response(request)


def sized(response: HttpResponse) -> HttpResponse:
    """Return the response with its length, which later middleware sets for all others."""
    response.headers["Content-Length"] = str(len(response.content))
    return response


def readiness_faults() -> list[str]:
    """Return why the service should get no traffic now, one sentence each; [] when it should.

    Checked: the database answers and takes writes, every migration is applied, and its settings
    flush a commit to disk before it is acknowledged, without which a `201` could be lost.
    """
    try:
        faults = durability_faults()
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            faults.append("Migrations are not applied: run manage.py migrate.")
    except DatabaseProblem:
        return ["The database does not answer."]
    return faults


def durability_faults() -> list[str]:
    """Return which settings of the database let an acknowledged lead get lost; [] when none."""
    faults = []
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA synchronous")
            if cursor.fetchone()[0] < 2:  # 2 is FULL, 3 EXTRA
                faults.append("SQLite's synchronous is below FULL: a commit is not flushed.")
        else:
            for name in ("fsync", "full_page_writes", "synchronous_commit"):
                cursor.execute(f"SHOW {name}")
                if cursor.fetchone()[0] == "off":
                    faults.append(f"PostgreSQL's {name} is off: a commit may be lost.")
            cursor.execute("SHOW transaction_read_only")
            if cursor.fetchone()[0] == "on":
                faults.append("PostgreSQL is read-only: nothing can be stored.")
    return faults
