"""One web process: waitress on a socket that it was handed, until told to stop.

Run by `manage.py serve` as `python -m leadping.web SOCKET LIFELINE THREADS`, the first two being
file descriptors. It ends by itself when the other end of the lifeline closes, so that nothing is
left behind when the process that started it is killed.
"""

import os
import signal
import socket
import sys
import threading
from types import FrameType

import waitress

# Above the 64 KiB of the contract: what is over that is answered by us, with a problem.
MAX_REQUEST_BYTES = 16 * 1024 * 1024
CONNECTION_LIMIT = 500


def stop(signum: int, frame: FrameType | None) -> None:
    """End the server's loop; what is under way is finished first."""
    raise SystemExit(0)


def watch(lifeline: int) -> None:
    """Stop this process when the one that started it is gone."""
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def main(socket_fd: int, lifeline: int, threads: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    from leadping.wsgi import application  # isort: skip, it sets Django up
    from leadping.framing import use_problems

    use_problems()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the starter, which tells us
    threading.Thread(target=watch, args=[lifeline], daemon=True).start()
    waitress.serve(
        application,
        sockets=[socket.socket(fileno=socket_fd)],
        threads=threads,
        max_request_body_size=MAX_REQUEST_BYTES,
        connection_limit=CONNECTION_LIMIT,
        # We decide whom to believe (TRUSTED_PROXIES), so that every server behaves alike.
        clear_untrusted_proxy_headers=False,
        ident="leadping",
        _quiet=True,
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
