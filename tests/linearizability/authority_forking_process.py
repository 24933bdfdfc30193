"""A program that runs `cachd authority` over and over. `start HOST:PORT` and `kill` come as lines
on standard input; the first is answered by the authority's own ready line, the other by `{}`.

It has imported all that an authority needs and forks; what it forks is `cachd authority` from its
command line on, a process of its own. So a start takes a tenth of the time that it takes Python to
import the same, and hundreds of kills are cheap. It has no threads and no open ledger when it
forks. At the end of its input it kills the authority and ends; it also ends when the authority does
so by itself.
"""

from __future__ import annotations

import os
import signal
import sys

import cachd.authority.daemon  # what `cachd authority` imports when it is run
import cachd.main


def main() -> None:
    home, running = sys.argv[1], 0
    signal.signal(signal.SIGCHLD, lambda *_: os._exit(1))
    for line in sys.stdin:
        what, *where = line.split()
        if what == "start":
            running = os.fork() or _become_authority("--home", home, "--listen", *where)
        elif what == "kill":
            running = _kill(running)
            print("{}", flush=True)
    _kill(running)


def _become_authority(*words: str) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["cachd", "authority", *words]
    cachd.main.main()
    os._exit(0)


def _kill(process: int) -> int:
    """SIGKILL, and wait for the end: then its lock and its port are free."""
    if process:
        ended_by_itself = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        signal.signal(signal.SIGCHLD, ended_by_itself)
    return 0


if __name__ == "__main__":
    main()
