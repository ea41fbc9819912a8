"""What `make test-engines` stands on, as far as it needs no engine."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.engines.real.__main__ import all_cases
from tests.engines.real.bed import DRIVERS
from tests.engines.real.tiny_model import VOCABULARY, make_model, prompt


def test_cases_have_names_of_their_own_and_the_core_ones_come_first() -> None:
    cases = all_cases()
    names = [case.name for case in cases]
    assert len(set(names)) == len(names)
    core = [case.name for case in cases if case.core]
    assert names[: len(core)] == core
    wanted = {"vllm-fresh", "vllm-node-killed", "vllm-flipped-byte", "vllm-two-tenants"}
    assert wanted <= set(core)
    assert {case.engine for case in cases} == {"vllm", "lmcache", "sglang"}
    assert (DRIVERS / "vllm_engine.py").exists()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_equal_arguments_make_equal_models_and_another_seed_another(
    tmp_path: Path, dtype: str
) -> None:
    files = [
        make_model(tmp_path / name, seed=seed, layers=2, hidden=128, dtype=dtype)
        / "model.safetensors"
        for name, seed in (("one", 3), ("two", 3), ("three", 4))
    ]
    one, two, three = (file.read_bytes() for file in files)
    assert one == two
    assert len(one) == len(three)
    assert one != three


def test_a_model_s_file_says_where_each_tensor_lies(tmp_path: Path) -> None:
    data = (make_model(tmp_path / "model", layers=2, hidden=128) / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__")
    ends = [0]
    for told in header.values():
        first, end = told["data_offsets"]
        assert first == ends[-1]
        assert end - first == 4 * int(np.prod(told["shape"]))
        ends.append(end)
    assert 8 + size + ends[-1] == len(data)
    assert header["model.embed_tokens.weight"]["shape"] == [VOCABULARY, 128]


def test_two_of_three_layers_of_a_window_model_look_back_so_far(tmp_path: Path) -> None:
    path = make_model(tmp_path / "model", layers=6, hidden=64, sliding_window=96)
    config = json.loads((path / "config.json").read_text())
    assert config["sliding_window"] == 96
    assert config["layer_types"] == ["sliding_attention", "sliding_attention", "full_attention"] * 2


def test_a_hidden_size_that_makes_no_whole_heads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="multiple of 64"):
        make_model(tmp_path / "model", hidden=100)


def test_prompts_are_equal_for_equal_seeds_alone() -> None:
    assert prompt(1, 50) == prompt(1, 50)
    assert prompt(1, 50) != prompt(2, 50)
    assert all(0 < token < VOCABULARY for token in prompt(1, 1000))
