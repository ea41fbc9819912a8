"""The request trace: which blocks each request's prompt consists of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

LINE_BYTES_MAX = 16 << 20


class TraceError(ValueError):
    """The trace file has a line that is no request; the message names file and line."""


@dataclass(frozen=True)
class Trace:
    """Requests in order of arrival.

    requests: for each request the numbers of its prompt's blocks, in order of the prompt.
    """

    requests: tuple[tuple[int, ...], ...]

    @property
    def distinct_blocks(self) -> int:
        """How many different blocks the trace names: its footprint."""
        return len({block for request in self.requests for block in request})

    @property
    def blocks_per_request_max(self) -> int:
        return max((len(request) for request in self.requests), default=0)

    def prefix_blocks_possible(self) -> int:
        """Blocks that a cache with room for everything finds as prefix, over all requests."""
        seen: set[int] = set()
        possible = 0
        for request in self.requests:
            for block in request:
                if block not in seen:
                    break
                possible += 1
            seen.update(request)
        return possible

    @staticmethod
    def load(path: Path) -> Trace:
        """Reads JSON lines, each with the list `hash_ids` (Mooncake's published trace format).

        Raises:
            TraceError: a line is no request, or there is none.
            OSError: the file cannot be read.
        """
        requests: list[tuple[int, ...]] = []
        with path.open("rb") as lines:
            for number, line in enumerate(iter(lambda: lines.readline(LINE_BYTES_MAX), b""), 1):
                if line.strip():
                    requests.append(_request(line, path, number))
        if not requests:
            raise TraceError(f"{path} holds no request")
        return Trace(tuple(requests))


def _request(line: bytes, path: Path, number: int) -> tuple[int, ...]:
    try:
        blocks = json.loads(line)["hash_ids"]
    except (ValueError, KeyError, TypeError) as error:
        raise TraceError(f"{path}, line {number}: no JSON object with `hash_ids`") from error
    if not isinstance(blocks, list) or not all(
        isinstance(block, int) and 0 <= block < 1 << 63 for block in blocks
    ):
        raise TraceError(f"{path}, line {number}: `hash_ids` is not a list of block numbers")
    # A prompt that repeats a block is looked up by its first occurrence only.
    return tuple(dict.fromkeys(blocks))
