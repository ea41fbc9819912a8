"""A host pool's memory, registered once: pages are stored from it and loaded into it in place."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast._keys import PackedKeys
from holdfast._region import Region
from holdfast._segments import Segments
from holdfast.engines.parts import part_suffixes
from holdfast.engines.sglang.page_layout import Numbers, PageLayout
from holdfast_kvstore.segments import Plane

_HASH_CHARACTERS = 64
_TEXT = b"text:"


class HostPages:
    """The memory of a layout."""

    def __init__(self, layout: PageLayout, close_s: float) -> None:
        """Raises InvalidArgument for memory that cannot be registered, Unsupported for pages that
        cannot be cut into blocks. close_s: how long `close` waits."""
        self.layout = layout
        self.parts = layout.parts
        self.part_bytes = layout.page_bytes // self.parts
        self._regions = [Region.of_buffer(span, self.part_bytes, close_s) for span in layout.spans]
        self._planes = [
            [
                Plane(
                    self._regions[piece.span],
                    base=piece.offset,
                    block_stride=piece.stride,
                    run_bytes=piece.nbytes,
                )
                for piece in layout.pieces_of(part)
            ]
            for part in range(self.parts)
        ]

    def segments(self, numbers: Numbers) -> list[Segments]:
        """For each part where it lies in the pages `numbers`. Raises InvalidArgument for a page
        outside, Closed after `close`."""
        return [Segments.paged(planes, numbers) for planes in self._planes]

    def close(self) -> None:
        """Lets the memory go. Raises DeadlineExceeded while calls still use it."""
        for region in self._regions:
            region.close()


def block_names(keys: Sequence[str], parts: int) -> list[PackedKeys | list[bytes]]:
    """For each part of a page the names of the stored blocks.

    keys: page hashes, 64 hexadecimal digits each; others are taken as text, under names that no
    hash has.
    """
    raw = [_raw(key) for key in keys]
    return [_packed([key + suffix for key in raw]) for suffix in part_suffixes(parts)]


def _raw(key: str) -> bytes:
    if len(key) == _HASH_CHARACTERS:
        try:
            found = bytes.fromhex(key)
        except ValueError:
            found = b""
        if len(found) == _HASH_CHARACTERS // 2:
            return found
    return _TEXT + key.encode()


def _packed(names: list[bytes]) -> PackedKeys | list[bytes]:
    if names and len({len(name) for name in names}) == 1:
        return PackedKeys(b"".join(names), len(names[0]))
    return names
