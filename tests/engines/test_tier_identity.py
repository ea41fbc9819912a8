"""What the secondary tier's fingerprint covers, and what it refuses."""

from __future__ import annotations

import enum
import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.engines.fingerprint import Fingerprint
from holdfast.engines.vllm_tier.identity import (
    config_digest,
    hash_facts,
    model_facts,
    row_facts,
    weights_named,
)
from holdfast.engines.vllm_tier.settings import TierSettings
from holdfast.errors import ConfigInvalid

SETTINGS = TierSettings.of({})
_seeds = itertools.count()


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


def engine(**other: Any) -> Any:
    """An engine's VllmConfig, as far as it is read."""
    values = {
        "model_config": model(),
        "cache_config": cache(),
        "load_config": SimpleNamespace(load_format="auto"),
        "attention_config": SimpleNamespace(backend=None),
        "lora_config": None,
        "speculative_config": None,
        "use_v2_model_runner": False,
    }
    return SimpleNamespace(**{**values, **other})


def model(**other: Any) -> Any:
    values = {
        "model": "/models/llama",
        "model_weights": "",
        "seed": 0,
        "dtype": "torch.bfloat16",
        "quantization": None,
        "quantization_config": None,
        "hf_overrides": {},
        "hf_text_config": SimpleNamespace(rope_parameters={"rope_type": "default"}),
        "max_model_len": 4096,
    }
    return SimpleNamespace(**{**values, **other})


def cache(**other: Any) -> Any:
    return SimpleNamespace(**{"cache_dtype": "auto", "kv_cache_dtype_skip_layers": [], **other})


def rows(**other: Any) -> str:
    canonical = "v1-hnd" if other.get("canonical_layout") else None
    return Fingerprint(row_facts(offloading(**other), canonical)).digest


def told(**other: Any) -> str:
    return Fingerprint(model_facts(engine(**other), SETTINGS)).digest


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


@pytest.mark.parametrize(
    "other",
    [
        {"model_config": model(dtype="torch.float16")},
        {"model_config": model(quantization="fp8")},
        {"model_config": model(hf_overrides={"rope_theta": 5})},
        {"model_config": model(hf_overrides=json.dumps)},
        {"cache_config": cache(cache_dtype="fp8")},
        {"cache_config": cache(kv_cache_dtype_skip_layers=["3"])},
        {"attention_config": SimpleNamespace(backend=Backend.ONE)},
        {"use_v2_model_runner": True},
    ],
)
def test_other_values_are_another_space(other: dict[str, Any]) -> None:
    assert told(**other) != told()


def test_the_longest_sequence_counts_where_keys_depend_on_it() -> None:
    assert told(model_config=model(max_model_len=8192)) == told()
    longrope = SimpleNamespace(rope_scaling={"rope_type": "longrope"})
    short, long = (model(max_model_len=n, hf_text_config=longrope) for n in (4096, 131_072))
    assert told(model_config=short) != told(model_config=long)


def test_scales_computed_while_serving_are_refused() -> None:
    with pytest.raises(ConfigInvalid, match="calculate-kv-scales"):
        model_facts(engine(cache_config=cache(calculate_kv_scales=True)), SETTINGS)


def test_lora_is_served_when_its_names_are_its_weights() -> None:
    with pytest.raises(ConfigInvalid, match="lora_named"):
        model_facts(engine(lora_config=object()), SETTINGS)
    assert model_facts(engine(lora_config=object()), TierSettings.of({"lora_named": True}))


def test_a_hash_scheme_that_is_random_in_each_process_is_refused() -> None:
    assert hash_facts("sha256", lambda: "fixed") == {"hash": "sha256", "hash_seed": "fixed"}
    with pytest.raises(ConfigInvalid, match=r"sha256_cbor.*PYTHONHASHSEED"):
        hash_facts("xxhash", lambda: str(next(_seeds)))


# ---------------------------------------------------------------------------- weights


def named(engine_config: Any, **settings: Any) -> str:
    """The name of the weights; a digest is the folder's name here."""
    return weights_named(
        engine_config,
        TierSettings.of(settings),
        lambda path: f"digest-of-{path.name}",
        lambda config: Path(config.model),
    )()


def test_weights_are_known_by_their_digest() -> None:
    assert named(engine()) == "digest-of-llama.none"
    assert named(engine(), weights="/other/place") == "digest-of-place.none"


def test_an_operator_may_name_weights() -> None:
    assert named(engine(), weights_id="llama@7f3a") == "id:llama@7f3a"
    stored = engine(model_config=model(model_weights="s3://bucket/llama"))
    assert named(stored, weights_id="llama@7f3a") == "id:llama@7f3a"
    with pytest.raises(ConfigInvalid, match="weights_id"):
        named(stored)


def test_random_weights_are_known_by_their_seed() -> None:
    dummy = SimpleNamespace(load_format="dummy")
    names = {named(engine(load_config=dummy, model_config=model(seed=seed))) for seed in (0, 1)} | {
        named(engine())
    }
    assert len(names) == 3


def test_weights_of_a_draft_count() -> None:
    draft = SimpleNamespace(draft_model_config=model(model="/models/draft"))
    assert named(engine(speculative_config=draft)) == "digest-of-llama.none,digest-of-draft.none"
    itself = SimpleNamespace(draft_model_config=model())
    assert named(engine(speculative_config=itself)) == named(engine())


def test_a_checkpoint_that_says_something_else_of_its_model_is_another(tmp_path: Path) -> None:
    def digest(**told: Any) -> str:
        (tmp_path / "config.json").write_text(json.dumps(told))
        return config_digest(tmp_path)

    first = digest(rope_theta=10_000, hidden_size=64, transformers_version="4")
    assert digest(hidden_size=64, rope_theta=10_000, transformers_version="5") == first
    assert digest(hidden_size=64, rope_theta=500_000) != first
    assert config_digest(tmp_path / "nothing") == "none"
