"""Where the pages of a host pool lie, learnt from the addresses that the pool itself tells.

`Any` stands for SGLang's own classes and tensors: this module does not import them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from holdfast.engines.parts import equal_parts
from holdfast.errors import HoldfastError, Unsupported
from holdfast_kvstore.policies import LIMITS

Numbers = npt.NDArray[np.int64]
_PROBES = 33
"""Pages whose addresses are compared with where they should be."""


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """Host memory of the pool, in one piece."""

    address: int
    nbytes: int
    owner: Any
    """Keeps the memory."""

    @property
    def end(self) -> int:
        """One past its last byte, an address."""
        return self.address + self.nbytes

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """All of it as bytes, whatever its element type is."""
        return {
            "version": 3,
            "data": (self.address, False),
            "shape": (self.nbytes,),
            "typestr": "|u1",
        }


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of every page."""

    span: int
    """Which span it lies in."""
    offset: int
    """Of page 0, bytes from the span's start."""
    stride: int
    """From one page to the next, bytes."""
    nbytes: int


@dataclass(frozen=True, slots=True, eq=False)
class PageLayout:
    """One page is one block: its pieces in this order, cut into equal parts if it is too large."""

    spans: tuple[Span, ...]
    pieces: tuple[Piece, ...]
    pages: int
    page_tokens: int

    @property
    def page_bytes(self) -> int:
        """Bytes of one page over all its pieces."""
        return sum(piece.nbytes for piece in self.pieces)

    @property
    def parts(self) -> int:
        """Stored blocks of a page: one, unless it is larger than a block may be.

        Raises Unsupported for a page that cannot be cut into equal blocks.
        """
        size = self.page_bytes
        parts = equal_parts(size)
        if parts is not None:
            return parts
        raise Unsupported(
            f"a page has {size} bytes, which cannot be cut into blocks of up to "
            f"{LIMITS.block_bytes_max} bytes: use a smaller --page-size"
        )

    def pieces_of(self, part: int) -> list[Piece]:
        """What lies in bytes [part, part + 1) * page_bytes / parts of a page."""
        part_bytes = self.page_bytes // self.parts
        first, end = part * part_bytes, (part + 1) * part_bytes
        found, at = [], 0
        for piece in self.pieces:
            start, stop = max(first, at), min(end, at + piece.nbytes)
            if start < stop:
                offset = piece.offset + start - at
                found.append(Piece(piece.span, offset, piece.stride, stop - start))
            at += piece.nbytes
        return found

    def page_numbers(self, slots: Numbers, keys: int) -> Numbers:
        """int64[keys]: which page each key's slots are.

        slots: int64[keys * page_tokens], a page's slots one behind the other. Raises Unsupported
        if they are not whole pages of this pool.
        """
        if slots.shape != (keys * self.page_tokens,):
            raise Unsupported(
                f"{slots.size} slots for {keys} pages of {self.page_tokens} tokens each"
            )
        pages = slots.reshape(keys, self.page_tokens)
        numbers = pages[:, 0] // self.page_tokens
        whole = numbers[:, None] * self.page_tokens + np.arange(self.page_tokens)
        if not np.array_equal(pages, whole):
            raise Unsupported("slots of a page do not follow one another from a page's start")
        if keys and not 0 <= numbers.min() <= numbers.max() < self.pages:
            raise Unsupported(f"a page lies outside of the pool's {self.pages}")
        return numbers


def layout_of_pool(pool: Any, as_indices: Callable[[Numbers], Any] = lambda it: it) -> PageLayout:
    """The layout of one of SGLang's host pools.

    as_indices: makes the kind of indices that the pool takes. Raises Unsupported, with the reason,
    for a pool whose pages do not stay where they are, or not in host memory.
    """
    _check_kind(pool)
    spans = _spans(_tensors(pool))
    page_tokens = int(getattr(pool, "page_size", 1) or 1)
    pages = int(pool.size) // page_tokens
    if pages < 1:
        raise Unsupported("it has no page")
    probed = np.unique(np.linspace(0, pages - 1, _PROBES, dtype=np.int64))
    if pages > 1:
        probed = np.unique(np.append(probed, 1))
    addresses, sizes = _told(pool, probed, page_tokens, as_indices)
    stride = addresses[1] - addresses[0] if pages > 1 else np.zeros_like(addresses[0])
    if not np.array_equal(addresses, addresses[0] + probed[:, None] * stride):
        raise Unsupported("its pages are not equally far from one another")
    pieces = [
        _piece(spans, int(first), int(step), int(size), pages)
        for first, step, size in zip(addresses[0], stride, sizes, strict=True)
    ]
    pieces.sort(key=lambda piece: (piece.span, piece.offset))
    return PageLayout(spans, tuple(pieces), pages, page_tokens)


def layout_of_flat_page(tensor: Any, page_bytes: int) -> PageLayout:
    """The layout of a tensor that holds one page, as the pool flattens it.

    Raises Unsupported for a tensor of another size, that is not contiguous or not in host memory.
    """
    nbytes = int(tensor.numel()) * int(tensor.element_size())
    if nbytes != page_bytes or not tensor.is_contiguous() or not _on_host(tensor):
        raise Unsupported(f"a tensor of {nbytes} bytes is no flat page of {page_bytes} bytes")
    span = Span(int(tensor.data_ptr()), nbytes, tensor)
    return PageLayout((span,), (Piece(0, 0, 0, nbytes),), 1, 1)


def _check_kind(pool: Any) -> None:
    if getattr(pool, "kv_buffer", True) is None:
        raise Unsupported("it holds no memory of its own")
    if getattr(pool, "shared_allocation_domain", None) is not None:
        raise Unsupported("its pages move: it shares its memory with another pool")
    if getattr(pool, "dcp_size", 1) != 1 or getattr(pool, "logical_size", pool.size) != pool.size:
        raise Unsupported("ranks hold parts of its pages, under numbers of their own")


def _tensors(pool: Any) -> Sequence[Any]:
    told = getattr(pool, "get_hybrid_pool_buffer", None)
    found = told() if told is not None else pool.kv_buffer
    listed = found if isinstance(found, (list, tuple)) else [found]
    return [tensor for tensor in listed if tensor is not None and int(tensor.numel())]


def _spans(tensors: Sequence[Any]) -> tuple[Span, ...]:
    """One span for each storage, in the order of the tensors: several may share one."""
    found: dict[int, Span] = {}
    for tensor in tensors:
        if not _on_host(tensor):
            raise Unsupported(f"it lies on {tensor.device}, not in host memory")
        storage = tensor.untyped_storage()
        address = int(storage.data_ptr())
        found.setdefault(address, Span(address, int(storage.nbytes()), tensor))
    return tuple(found.values())


def _on_host(tensor: Any) -> bool:
    return str(tensor.device).partition(":")[0] == "cpu"


def _told(
    pool: Any, probed: Numbers, page_tokens: int, as_indices: Callable[[Numbers], Any]
) -> tuple[Numbers, Numbers]:
    """Addresses int64[probed, pieces] and sizes int64[pieces], as the pool tells them."""
    slots = (probed[:, None] * page_tokens + np.arange(page_tokens)).reshape(-1)
    try:
        told = pool.get_page_buffer_meta(as_indices(slots))
    except HoldfastError:
        raise
    except Exception as error:
        layout = getattr(pool, "layout", None)
        raise Unsupported(
            f"it does not tell where its pages lie in layout {layout}: {error}"
        ) from error
    if told is None or not len(told[0]) or len(told[0]) % len(probed):
        raise Unsupported("it does not tell where its pages lie")
    addresses = np.array(told[0], dtype=np.int64).reshape(len(probed), -1)
    sizes = np.array(told[1], dtype=np.int64).reshape(len(probed), -1)
    if (sizes != sizes[0]).any() or (sizes < 1).any():
        raise Unsupported("its pages differ in size")
    return addresses, sizes[0]


def _piece(spans: Sequence[Span], first: int, stride: int, nbytes: int, pages: int) -> Piece:
    last = first + (pages - 1) * stride
    for number, span in enumerate(spans):
        if span.address <= min(first, last) and max(first, last) + nbytes <= span.end:
            return Piece(number, first - span.address, stride, nbytes)
    raise Unsupported("its pages do not lie in the memory that it names")
