"""What LoRA adapters weigh in a block's key: their weights and scale, not their name."""

from __future__ import annotations

import logging
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from holdfast.engines.checkpoint import checkpoint_digest
from holdfast.engines.counters import Counters
from holdfast.errors import HoldfastError

_REQUESTS_MAX = 4_096
_FILES_MAX = 256

Stamp = tuple[tuple[str, int, int, int], ...]
"""Name, size, inode and time of change of each file."""


class Adapters:
    """Digests adapters on a thread of its own, anew when their files have changed."""

    def __init__(self, counters: Counters, log: logging.Logger) -> None:
        self._counters = counters
        self._log = log
        self._pool: ThreadPoolExecutor | None = None
        self._asked: OrderedDict[str, Future[bytes | None]] = OrderedDict()
        self._digests: dict[str, tuple[Stamp, bytes]] = {}

    def salt(self, path: str, request: str) -> bytes | None:
        """The digest of the adapter in `path` as it was when `request` first asked for it. None
        while it is not known, and for good if the files cannot be read. Never waits."""
        asked = self._asked.get(request)
        if asked is None:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="holdfast-adapters")
            asked = self._asked[request] = self._pool.submit(self._digest, path)
            while len(self._asked) > _REQUESTS_MAX:
                self._asked.popitem(last=False)[1].cancel()
        return asked.result() if asked.done() and not asked.cancelled() else None

    def forget(self, request: str) -> None:
        """`request` has ended."""
        asked = self._asked.pop(request, None)
        if asked is not None:
            asked.cancel()

    def close(self) -> None:
        """Ends the thread."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _digest(self, path: str) -> bytes | None:
        try:
            stamp = _stamp(Path(path))
            known = self._digests.get(path)
            if known is not None and known[0] == stamp:
                return known[1]
            digest = bytes.fromhex(checkpoint_digest(Path(path)))
        except (HoldfastError, OSError, ValueError) as error:
            self._counters.add("adapters_unread")
            self._log.warning("requests with adapter %s go without Holdfast: %s", path, error)
            return None
        self._digests[path] = (stamp, digest)
        while len(self._digests) > _FILES_MAX:
            del self._digests[next(iter(self._digests))]
        return digest


def _stamp(path: Path) -> Stamp:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    found = [(file.name, file.stat()) for file in files]
    return tuple((name, stat.st_size, stat.st_ino, stat.st_ctime_ns) for name, stat in found)
