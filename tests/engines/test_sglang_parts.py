"""The parts of SGLang's storage backend that need no cluster."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from holdfast.engines.checkpoint import checkpoint_digest
from holdfast.engines.sglang.engine import Engine, name_of_weights
from holdfast.engines.sglang.hits import PoolPages, reach_of
from holdfast.engines.sglang.host_pages import block_names
from holdfast.engines.sglang.identity import is_writer, label_of, pool_facts
from holdfast.engines.sglang.page_layout import layout_of_flat_page, layout_of_pool
from holdfast.engines.sglang.settings import SglangSettings
from holdfast.engines.sglang.speeds import KEPT_MAX, Speeds
from holdfast.errors import ConfigInvalid, Unsupported
from tests.engines.checkpoints import checkpoint
from tests.engines.sglang_pools import LAYOUTS, Config, HostTensor, Pool, mha_pool, mla_pool

# ------------------------------------------------------------------------ where pages lie


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_pieces_of_a_page_are_its_bytes_in_the_order_in_which_the_pool_flattens_them(
    layout: str,
) -> None:
    pool = mha_pool(layout)
    found = layout_of_pool(pool)
    memory = pool.planes[0].base
    assert memory is not None and len(found.spans) == 1
    whole = np.frombuffer(memory.tobytes(), np.uint8)
    for number in range(found.pages):
        told = b"".join(
            whole[start : start + piece.nbytes].tobytes()
            for piece in found.pieces
            for start in [piece.offset + number * piece.stride]
        )
        assert told == pool.page_bytes(number)


def test_a_pool_of_one_page_has_a_layout() -> None:
    found = layout_of_pool(mha_pool(pages=1))
    assert (found.pages, found.page_bytes) == (1, len(mha_pool().page_bytes(0)))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"shared_allocation_domain": object()}, "its pages move"),
        ({"dcp_size": 2}, "numbers of their own"),
        ({"logical_size": 48}, "numbers of their own"),
        ({"kv_buffer": None}, "no memory of its own"),
        ({"size": 0, "logical_size": 0}, "no page"),
        ({"get_page_buffer_meta": lambda _: None}, "does not tell"),
        ({"get_page_buffer_meta": lambda _: ([], [])}, "does not tell"),
        ({"get_page_buffer_meta": lambda _: 1 / 0}, "layout page_first: division by zero"),
        (
            {"get_page_buffer_meta": lambda it: ([0] * (len(it) // 4), [8] * (len(it) // 4))},
            "names",
        ),
        ({"get_hybrid_pool_buffer": list}, "names"),
    ],
)
def test_a_pool_whose_pages_cannot_be_found_is_refused_with_the_reason(
    change: dict[str, Any], why: str
) -> None:
    pool = mha_pool()
    for name, value in change.items():
        setattr(pool, name, value)
    with pytest.raises(Unsupported, match=why):
        layout_of_pool(pool)


@pytest.mark.parametrize("page", range(2, 6))
def test_a_page_that_is_not_where_the_others_say_is_noticed(page: int) -> None:
    pool = mha_pool()
    honest = pool.get_page_buffer_meta

    def moved(indices: Any) -> tuple[list[int], list[int]]:
        addresses, sizes = honest(indices)
        firsts = indices.tolist()[:: pool.page_size]
        for place, first in enumerate(firsts):
            if first == page * pool.page_size:
                addresses[2 * place] += 64
        return addresses, sizes

    pool.get_page_buffer_meta = moved  # type: ignore[method-assign]
    with pytest.raises(Unsupported, match="not equally far"):
        layout_of_pool(pool)


def test_memory_of_a_device_is_refused() -> None:
    pool = mha_pool()
    pool.get_hybrid_pool_buffer = lambda: [  # type: ignore[method-assign]
        HostTensor(pool.planes[0], device="cuda:0")
    ]
    with pytest.raises(Unsupported, match="cuda:0"):
        layout_of_pool(pool)
    with pytest.raises(Unsupported, match="no flat page"):
        layout_of_flat_page(HostTensor(np.zeros(4, np.uint16), device="cuda:0"), 8)


def test_parts_of_a_page_are_equal_and_leave_nothing_out() -> None:
    pool = Pool("layer_first", (10_000, 10_000), layers=9, page_size=64, pages=2)
    found = layout_of_pool(pool)
    assert found.page_bytes == 23_040_000
    assert found.parts == 2
    parts = [found.pieces_of(part) for part in range(found.parts)]
    assert [sum(piece.nbytes for piece in part) for part in parts] == [11_520_000] * 2
    cut = [(piece.offset, piece.offset + piece.nbytes) for part in parts for piece in part]
    whole = [(piece.offset, piece.offset + piece.nbytes) for piece in found.pieces]
    joined: list[tuple[int, int]] = []
    for first, end in cut:
        follows = joined and joined[-1][1] == first and (joined[-1][0], end) in whole
        joined.append((joined.pop()[0] if follows else first, end))
    assert joined == whole


def test_a_page_that_cannot_be_cut_is_refused() -> None:
    prime = (1 << 24) + 43
    big = HostTensor(np.zeros(prime, np.uint8))
    with pytest.raises(Unsupported, match="page-size"):
        _ = layout_of_flat_page(big, prime).parts


# ------------------------------------------------------------------------ names


def test_names_of_blocks_are_hashes_and_never_meet_other_names() -> None:
    digest = bytes(range(32))
    odd = [digest.hex(), "z" * 64, " " * 2 + digest.hex()[2:], "short", ""]
    (names,) = block_names(odd, 1)
    assert isinstance(names, list)
    assert names == [digest, *(b"text:" + key.encode() for key in odd[1:])]
    (packed,) = block_names([digest.hex()] * 2, 1)
    assert len(packed) == 2
    first, second = block_names([digest.hex()], 2)
    assert first != second
    assert block_names([], 1) == [[]]


# ------------------------------------------------------------------------ how far a prefix reaches


def brute_reach(main: list[bool], others: list[tuple[list[bool], int | None]]) -> list[int]:
    """Every length that can be restored, checked page by page."""
    found = []
    for length in range(1, len(main) + 1):
        fits = all(main[:length])
        for stored, trailing in others:
            first = 0 if trailing is None else max(0, length - max(1, trailing))
            fits = fits and all(stored[first:length])
        if fits:
            found.append(length)
    return found


@pytest.mark.parametrize("seed", range(30))
def test_a_prefix_reaches_as_far_as_every_pool_allows(seed: int) -> None:
    drawn = random.Random(seed)
    pages = drawn.randrange(12)
    main = [drawn.random() < 0.9 for _ in range(pages)]
    kept = next((page for page, stored in enumerate(main) if not stored), pages)
    others = [
        ([drawn.random() < 0.8 for _ in range(kept)], drawn.choice([None, 0, 1, 2, 3]))
        for _ in range(drawn.randrange(3))
    ]
    reach = reach_of(
        np.array(main, np.bool_),
        [
            PoolPages(f"pool-{number}", np.array(stored, np.bool_), trailing)
            for number, (stored, trailing) in enumerate(others)
        ],
    )
    wanted = brute_reach(main, others)
    assert reach.restorable == wanted, f"seed {seed}"
    assert reach.pages == (wanted[-1] if wanted else 0)
    for number, other in enumerate(others):
        alone = brute_reach(main, [other])
        assert reach.by_pool.get(f"pool-{number}", 0) == (alone[-1] if alone else 0)


# ------------------------------------------------------------------------ what a page is


def facts_of(pool: Pool, config: Config, name: str = "kv") -> dict[str, Any]:
    return dict(pool_facts(name, pool, layout_of_pool(pool), config))


def test_shards_are_named_by_what_they_hold() -> None:
    mha, mla = mha_pool(), mla_pool()
    assert facts_of(mha, Config(1, 2))["heads"] == [4, 8, 8]
    assert facts_of(mla, Config(1, 2, is_mla_model=True))["heads"] == "all"
    assert facts_of(mla, Config(1, 2))["part"] == [1, 2]
    assert facts_of(mla, Config(1, 2, is_mla_model=True), "mamba")["part"] == [1, 2]
    assert facts_of(mla, Config(attn_cp_rank=1, attn_cp_size=2))["context_part"] == [1, 2]
    assert label_of(facts_of(mha_pool(start_layer=8, end_layer=16), Config(1, 2))) == (
        "sglang.kv.l8-16.h4-8"
    )


def test_of_ranks_with_equal_pages_one_stores_them() -> None:
    mla, mha = mla_pool(), mha_pool()
    ranks = [Config(rank, 2, is_mla_model=True) for rank in (0, 1)]
    assert [is_writer("kv", mla, rank) for rank in ranks] == [True, False]
    assert [is_writer("mamba", mla, rank) for rank in ranks] == [True, True]
    assert [is_writer("draft", mha, rank) for rank in ranks] == [True, True]


def test_weights_are_those_that_the_engine_tells_of(tmp_path: Path) -> None:
    model, draft = (checkpoint(tmp_path / name, {"name": name}) for name in ("model", "draft"))

    def name(engine: Engine, served: str | None = None, **settings: Any) -> str:
        told = SglangSettings.of_extra_config({"interface_v1": 1, **settings})
        return name_of_weights(engine, served, told)()

    plain = name(Engine({"model_path": str(model)}), "served")
    assert plain == checkpoint_digest(model) == name(Engine({}), str(model))
    both = f"{plain},{checkpoint_digest(draft)}"
    assert name(Engine({"model_path": str(model)}, str(draft))) == both
    assert name(Engine({}, str(draft)), weights=model) == both
    for engine in (Engine({"model_path": str(model), "load_format": "dummy"}), Engine({})):
        with pytest.raises(ConfigInvalid, match="weights_id"):
            name(engine)


# ------------------------------------------------------------------------ speeds


def test_speeds_that_nobody_takes_are_bounded() -> None:
    speeds = Speeds()
    for pages in itertools.islice(itertools.count(), KEPT_MAX + 5):
        speeds.note(pages, 1 << 30, 0.5)
    speeds.note(3, 1, 0.0)
    sizes, rates = speeds.take()
    assert (len(sizes), sizes[0], set(rates)) == (KEPT_MAX, 5, {2.0})
    assert speeds.take() == ([], [])
