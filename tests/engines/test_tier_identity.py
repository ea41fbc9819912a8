"""What the secondary tier's fingerprint covers beside the model."""

from __future__ import annotations

import enum
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.engines.fingerprint import Fingerprint
from holdfast.engines.vllm_tier.identity import kernel_facts, row_facts
from holdfast.engines.vllm_tier.settings import TierSettings
from holdfast.errors import ConfigInvalid


class Backend(enum.Enum):
    """An engine's kinds of attention."""

    ONE = 1


def offloading(**other: Any) -> Any:
    """An engine's OffloadingConfig, as far as it is read."""
    values = {
        "groups": (
            SimpleNamespace(group_id=0, tokens_per_block=16, layer_names=("l.0", "l.1")),
            SimpleNamespace(group_id=1, tokens_per_block=16, layer_names=("l.2",)),
        ),
        "model": SimpleNamespace(name="/models/llama", dtype="bfloat16"),
        "cache": SimpleNamespace(tokens_per_hash=16, blocks_per_chunk=1),
        "parallel": parallel(),
        "replicated_layout": False,
        "canonical_layout": False,
        "kv_cache_layout": "LBHNC",
        "engine_id": "engine-1",
    }
    return SimpleNamespace(**{**values, **other})


def parallel(**other: Any) -> Any:
    sizes = {"tp_size": 1, "pp_size": 1, "pcp_size": 1, "dcp_size": 1}
    return SimpleNamespace(**{**sizes, "is_parallelism_agnostic": True, "rank": 0, **other})


def rows(**other: Any) -> str:
    canonical = "v1-hnd" if other.get("canonical_layout") else None
    return Fingerprint(row_facts(offloading(**other), canonical)).digest


@pytest.mark.parametrize(
    "other",
    [
        {"groups": offloading().groups[:1]},
        {"groups": offloading().groups[::-1]},
        {"model": SimpleNamespace(name="/models/llama", dtype="fp8_e4m3")},
        {"cache": SimpleNamespace(tokens_per_hash=32, blocks_per_chunk=1)},
        {"cache": SimpleNamespace(tokens_per_hash=16, blocks_per_chunk=2)},
        {"parallel": parallel(tp_size=2)},
        {"parallel": parallel(pp_size=2)},
        {"canonical_layout": True},
        {"kv_cache_layout": "LBNHC"},
    ],
)
def test_another_row_is_another_space(other: dict[str, Any]) -> None:
    assert rows(**other) != rows()


@pytest.mark.parametrize(
    "other",
    [
        {"engine_id": "engine-2"},
        {"model": SimpleNamespace(name="/elsewhere/llama", dtype="bfloat16")},
        {"parallel": parallel(rank=3, data_parallel_index=1)},
    ],
)
def test_where_and_who_an_engine_is_does_not_count(other: dict[str, Any]) -> None:
    assert rows(**other) == rows()


def test_ranks_do_not_count_where_rows_do_not_depend_on_them() -> None:
    two = parallel(tp_size=2)
    assert rows(canonical_layout=True, parallel=two) == rows(canonical_layout=True)
    assert rows(replicated_layout=True, parallel=two) == rows(replicated_layout=True)
    bound = parallel(tp_size=2, is_parallelism_agnostic=False)
    assert rows(canonical_layout=True, parallel=bound) != rows(canonical_layout=True)


def test_kernels_count_that_may_write_pages_in_another_way() -> None:
    def engine(backend: Backend | None, *, second_runner: bool) -> Any:
        attention = SimpleNamespace(backend=backend)
        return SimpleNamespace(attention_config=attention, use_v2_model_runner=second_runner)

    kinds = [(None, False), (Backend.ONE, False), (None, True)]
    told = [kernel_facts(engine(backend, second_runner=second)) for backend, second in kinds]
    assert len({Fingerprint(facts).digest for facts in told}) == 3


def test_lora_is_served_when_its_names_are_its_weights() -> None:
    with pytest.raises(ConfigInvalid, match="lora_named"):
        TierSettings.of({}).check_adapters(serves_lora=True)
    TierSettings.of({}).check_adapters(serves_lora=False)
    TierSettings.of({"lora_named": True}).check_adapters(serves_lora=True)
