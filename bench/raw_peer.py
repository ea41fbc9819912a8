"""The other process of raw measurements: `python -m bench.raw_peer SET_BYTES`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from holdfast_native import RawPeer

SEED = 2026


@dataclass(frozen=True)
class PeerProcess:
    """A running peer: where it listens, and its process for CPU accounting."""

    address: str
    pid: int


@contextmanager
def raw_peer(set_bytes: int) -> Iterator[PeerProcess]:
    """Starts a peer over `set_bytes` of incompressible bytes; ends it on leaving."""
    command = [sys.executable, "-m", "bench.raw_peer", str(set_bytes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            if not address:
                raise RuntimeError("the raw peer ended before it listened")
            yield PeerProcess(address, process.pid)
        finally:
            process.kill()


def main() -> None:
    """Listens, prints the address, serves until it is killed."""
    peer = RawPeer(int(sys.argv[1]), SEED)
    print(peer.address, flush=True)
    peer.serve()


if __name__ == "__main__":
    main()
