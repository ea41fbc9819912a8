"""Runs a daemon so that it ends when the process that started it does.

    python -m holdfast.local_cluster.child DESCRIPTOR MODULE [ARGUMENT ...]

DESCRIPTOR is the read end of a pipe whose write end only the parent has: it ends with the parent,
however that dies. (PR_SET_PDEATHSIG is tied to the thread that started the child, not to the
process, so that a pool's worker would take its daemons with it.)
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading

STOP_DEADLINE_S = 5.0


def main() -> None:
    """Watches the parent on a thread and becomes the daemon on this one."""
    descriptor, module = int(sys.argv[1]), sys.argv[2]
    threading.Thread(
        target=_end_with_parent, args=(descriptor,), name="parent-watch", daemon=True
    ).start()
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_parent(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    # The rest of the daemon must not outlive its parent even if it does not listen.
    threading.Event().wait(STOP_DEADLINE_S)
    os._exit(1)


if __name__ == "__main__":
    main()
