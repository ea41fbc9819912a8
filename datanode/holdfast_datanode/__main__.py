"""`python -m holdfast_datanode --config FILE`: one data node, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from holdfast_datanode.config import load_config
from holdfast_datanode.daemon import DataNode
from holdfast_datanode.log import configure_logging
from holdfast_kvstore.errors import ConfigInvalid, HoldfastError, NotFound
from holdfast_native import NativeError

EXIT_FAILED = 1
EXIT_CONFIG = 2
EXIT_REMOVED = 3


def main(arguments: list[str] | None = None) -> int:
    """Runs the daemon; returns its exit status: 0 after a stop, 2 for a bad configuration,
    3 once an operator removed the node, 1 for anything else.
    SIGUSR1 pauses background work, SIGUSR2 resumes it."""
    parser = argparse.ArgumentParser(
        prog="holdfast datanode", description="Runs one data node of a Holdfast cluster."
    )
    parser.add_argument("--config", type=Path, required=True, help="TOML file of this node")
    chosen = parser.parse_args(arguments)
    try:
        config = load_config(chosen.config)
        configure_logging(config.log.level)
        node = DataNode(config)
        _obey_signals(node)
        node.run()
    except ConfigInvalid as error:
        print(f"holdfast datanode: {error}", file=sys.stderr)
        return EXIT_CONFIG
    except NotFound as error:
        print(f"holdfast datanode: {error}", file=sys.stderr)
        return EXIT_REMOVED
    except (HoldfastError, NativeError) as error:
        print(f"holdfast datanode: {error}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def _obey_signals(node: DataNode) -> None:
    """Answers signals in a thread: nothing that they interrupt can hold a lock that they need.

    The pipe works whichever thread the kernel chose for the signal.
    """
    answers: dict[int, Callable[[], None]] = {
        signal.SIGTERM: node.stop,
        signal.SIGINT: node.stop,
        signal.SIGUSR1: node.pause_workers,
        signal.SIGUSR2: node.resume_workers,
    }
    readable, writable = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in answers:
        signal.signal(number, lambda *_: None)

    def answer() -> None:
        while number := os.read(readable, 1):
            answers.get(number[0], lambda: None)()

    threading.Thread(target=answer, name="signals", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
