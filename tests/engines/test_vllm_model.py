"""What vLLM's doors know of the model and of block hashes, and what they refuse."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.engines.checkpoint import checkpoint_digest
from holdfast.engines.checkpoint_settings import CheckpointSettings
from holdfast.engines.fingerprint import Fingerprint
from holdfast.engines.vllm.model import (
    check_scales,
    hash_scheme,
    label_of,
    model_facts,
    name_of_weights,
)
from holdfast.errors import ConfigInvalid, Unsupported
from tests.engines.checkpoints import checkpoint

_seeds = itertools.count()


def engine(model_config: Any = None, **other: Any) -> Any:
    """An engine's VllmConfig, as far as it is read."""
    values = {
        "model_config": model_config or model(),
        "cache_config": cache(),
        "load_config": SimpleNamespace(load_format="auto", download_dir=None),
        "speculative_config": None,
    }
    return SimpleNamespace(**{**values, **other})


def model(told: Mapping[str, Any] | None = None, **other: Any) -> Any:
    """An engine's ModelConfig. told: what it made of the checkpoint's configuration."""
    config = {"model_type": "llama", **(told or {})}
    values: dict[str, Any] = {
        "model": "/models/llama",
        "model_weights": "",
        "revision": None,
        "dtype": "torch.bfloat16",
        "quantization": None,
        "quantization_config": None,
        "disable_sliding_window": False,
        "hf_config": SimpleNamespace(model_type="llama", to_dict=lambda: config),
        "hf_config_path": None,
        "hf_overrides": {},
        "max_model_len": 4096,
    }
    return SimpleNamespace(**{**values, **other})


def cache(**other: Any) -> Any:
    return SimpleNamespace(**{"cache_dtype": "auto", "kv_cache_dtype_skip_layers": [], **other})


def told(engine_config: Any, **settings: Any) -> str:
    facts = model_facts(engine_config, CheckpointSettings.of(settings))
    return Fingerprint(facts).digest


@pytest.mark.parametrize(
    "other",
    [
        engine(model(dtype="torch.float16")),
        engine(model(quantization="fp8")),
        engine(model(quantization_config={"linear": "fp8"})),
        engine(model(disable_sliding_window=True)),
        engine(cache_config=cache(cache_dtype="fp8")),
        engine(cache_config=cache(kv_cache_dtype_skip_layers=["3"])),
        engine(model({"rope_theta": 5}, hf_overrides={"rope_theta": 5})),
        engine(model({"rope_theta": 5}, hf_overrides=dict)),
    ],
)
def test_other_values_are_another_space(other: Any) -> None:
    assert told(other) != told(engine())


def test_what_libraries_make_of_a_configuration_counts_only_where_it_is_not_the_checkpoints() -> (
    None
):
    newer = model({"a_default_of_a_later_version": 1})
    assert told(engine(newer)) == told(engine())
    for settings in ({"weights_id": "w"}, {"weights": "/elsewhere"}):
        assert told(engine(newer), **settings) != told(engine(), **settings)
    apart = [model(each, hf_config_path="/elsewhere") for each in ({"a": 1}, {"a": 2})]
    assert told(engine(apart[0])) != told(engine(apart[1]))


def test_where_a_model_lies_and_what_it_is_called_does_not_count() -> None:
    there = model({"_name_or_path": "/there"}, model="/there", hf_overrides={"a": 1})
    here = model({"_name_or_path": "/here"}, model="/here", hf_overrides={"a": 1})
    assert told(engine(there)) == told(engine(here))
    assert label_of(engine(there)) == label_of(engine(here)) == "llama"


@pytest.mark.parametrize("form", ["longrope", "dynamic"])
def test_the_longest_sequence_counts_where_keys_depend_on_it(form: str) -> None:
    assert told(engine(model(max_model_len=8192))) == told(engine())
    rope = {"text_config": {"rope_parameters": {"rope_type": form}}}
    short, long = (engine(model(rope, max_model_len=tokens)) for tokens in (4096, 131_072))
    assert told(short) != told(long)


def test_scales_computed_while_serving_are_refused() -> None:
    check_scales(engine())
    with pytest.raises(Unsupported, match="calculate-kv-scales"):
        check_scales(engine(cache_config=cache(calculate_kv_scales=True)))


def test_a_hash_scheme_that_is_random_in_each_process_is_refused() -> None:
    scheme = hash_scheme("sha256", lambda: "fixed")
    assert scheme == hash_scheme("sha256", lambda: "fixed")
    assert scheme != hash_scheme("sha256", lambda: "other")
    with pytest.raises(ConfigInvalid, match=r"sha256_cbor.*PYTHONHASHSEED"):
        hash_scheme("xxhash", lambda: str(next(_seeds)))


# ---------------------------------------------------------------------------- weights


def named(engine_config: Any, **settings: Any) -> str:
    return name_of_weights(engine_config, CheckpointSettings.of(settings))()


def test_weights_are_those_of_the_model_and_its_draft(tmp_path: Path) -> None:
    folder, draft = (checkpoint(tmp_path / name, {"name": name}) for name in "ab")
    target = model(model=str(folder))
    assert named(engine(target)) == checkpoint_digest(folder)
    speculative = SimpleNamespace(draft_model_config=model(model=str(draft)))
    both = f"{checkpoint_digest(folder)},{checkpoint_digest(draft)}"
    assert named(engine(target, speculative_config=speculative)) == both
    assert named(engine(speculative_config=speculative), weights=folder) == both
    itself = SimpleNamespace(draft_model_config=target)
    assert named(engine(target, speculative_config=itself)) == named(engine(target))


def test_weights_that_are_in_no_file_here_need_a_name(tmp_path: Path) -> None:
    folder = str(checkpoint(tmp_path / "a", {}))
    dummy = SimpleNamespace(load_format="dummy", download_dir=None)
    made_up = engine(model(model=folder), load_config=dummy)
    stored = engine(model(model=folder, model_weights="s3://bucket/llama"))
    for each in (made_up, stored):
        with pytest.raises(ConfigInvalid, match="weights_id"):
            named(each)
        assert named(each, weights_id="llama@7f3a") == "id:llama@7f3a"
