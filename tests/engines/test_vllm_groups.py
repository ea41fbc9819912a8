"""The longest prefix that every KV group can take up, against a search that tries all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engines.vllm.groups import KvGroup, longest_hit

FULL = KvGroup(0, 16)
WINDOW = KvGroup(1, 16, "window", 40)
CHUNK = KvGroup(2, 32, "chunk", 64)
STATE = KvGroup(1, 16, "state")


def stored(*present: int, blocks: int = 8) -> npt.NDArray[np.bool_]:
    found = np.zeros(blocks, np.bool_)
    found[list(present)] = True
    return found


def test_full_attention_needs_the_whole_prefix() -> None:
    assert longest_hit([FULL], [stored(0, 1, 3)], 0, 128, 16) == 32
    assert longest_hit([FULL], [stored(1, 2, 4)], 16, 128, 16) == 48
    assert longest_hit([FULL], [stored(*range(8))], 0, 100, 16) == 96


def test_a_window_needs_what_lies_in_it() -> None:
    # The token behind 96 looks at 57 to 96: blocks 3, 4 and 5.
    assert longest_hit([WINDOW], [stored(3, 4, 5)], 0, 128, 16) == 96
    assert longest_hit([WINDOW], [stored(4, 5)], 0, 128, 16) == 0


def test_a_chunk_needs_what_lies_in_it() -> None:
    # At a chunk's end nothing before it is looked at any more.
    assert longest_hit([CHUNK], [stored(blocks=4)], 0, 128, 32) == 128
    assert longest_hit([CHUNK], [stored(2, blocks=4)], 0, 96, 32) == 96
    assert longest_hit([CHUNK], [stored(blocks=4)], 0, 96, 32) == 64


def test_of_states_only_the_last_one_is_needed() -> None:
    assert longest_hit([STATE], [stored(2, 5)], 0, 128, 16) == 96
    assert longest_hit([FULL, STATE], [stored(*range(5)), stored(2, 5)], 0, 128, 16) == 48
    assert longest_hit([FULL, STATE], [stored(*range(8)), stored(2)], 48, 128, 16) == 48


def test_the_engines_own_blocks_are_not_asked_for() -> None:
    assert longest_hit([FULL, WINDOW], [stored(4, 5), stored(4, 5)], 64, 128, 16) == 96


groups = st.lists(
    st.one_of(
        st.builds(KvGroup, st.just(0), st.sampled_from([16, 32])),
        st.builds(
            KvGroup,
            st.just(0),
            st.sampled_from([16, 32]),
            st.sampled_from(["window", "chunk"]),
            st.integers(1, 100),
        ),
        st.builds(KvGroup, st.just(0), st.sampled_from([16, 32]), st.just("state")),
    ),
    min_size=1,
    max_size=3,
)


@given(groups, st.data())
def test_no_longer_prefix_has_all_that_is_needed(
    chosen: Sequence[KvGroup], data: st.DataObject
) -> None:
    tokens = 256
    found = [
        np.array(
            data.draw(
                st.lists(st.booleans(), min_size=tokens // each.block_tokens,
                         max_size=tokens // each.block_tokens)
            )
        )
        for each in chosen
    ]  # fmt: skip
    computed = 32 * data.draw(st.integers(0, 7))
    limit = data.draw(st.integers(0, tokens))

    def possible(length: int) -> bool:
        return all(
            has[max(each.first_needed(length), computed // each.block_tokens) :][
                : max(0, length // each.block_tokens
                      - max(each.first_needed(length), computed // each.block_tokens))
            ].all()
            for each, has in zip(chosen, found, strict=True)
        )  # fmt: skip

    best = max((n for n in range(computed + 32, limit + 1, 32) if possible(n)), default=computed)
    assert longest_hit(chosen, found, computed, limit, 32) == best
