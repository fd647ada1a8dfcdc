"""`make bench`: measure what a post costs, on a PostgreSQL of its own with full durability.

It starts the server in a new folder, fills it with 50,000 leads, and runs `bench.intake` on it.
"""

import os
import secrets
import subprocess
import sys

from tests.postgres import OwnPostgres

SETTINGS: dict[str, str | int] = {
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "max_connections": 200,
}
LEADS = 50_000


def main() -> int:
    """Return the exit code of the measuring."""
    with OwnPostgres(**SETTINGS) as server:
        environment = os.environ | {
            "DATABASE_URL": server.url,
            "DJANGO_SETTINGS_MODULE": "leadping.settings",
            "SECRET_KEY": secrets.token_urlsafe(50),
            "HTTPS": "off",
        }
        for words in (
            ["manage.py", "migrate", "--verbosity=0"],
            ["-m", "bench.load", f"--leads={LEADS}"],
        ):
            subprocess.run(
                [sys.executable, *words], env=environment, check=True, stdout=subprocess.DEVNULL
            )
        module, words = "bench.intake", sys.argv[1:]
        if words[:1] == ["--module"]:
            module, words = f"bench.{words[1]}", words[2:]
        command = [sys.executable, "-m", module, *words]
        return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
