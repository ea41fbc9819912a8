"""A checkpoint is named by its contents: weights, and what it says of its model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from holdfast.engines.checkpoint import Checkpoint, checkpoint_digest, config_digest, weights_named
from holdfast.engines.checkpoint_settings import CheckpointSettings
from holdfast.errors import ConfigInvalid, NotFound
from tests.engines.checkpoints import checkpoint


def named(model: Checkpoint, *drafts: Checkpoint, load_format: str = "auto", **given: Any) -> str:
    """The name of the weights."""
    return weights_named(CheckpointSettings.of(given), model, drafts, load_format)()


def test_the_place_does_not_count_and_everything_in_it_does(tmp_path: Path) -> None:
    rope = {"rope_theta": 10_000}
    first = checkpoint(tmp_path / "a", rope)
    assert checkpoint_digest(checkpoint(tmp_path / "b", rope)) == checkpoint_digest(first)
    for name, told, weights in (("c", {"rope_theta": 5}, b"one"), ("d", rope, b"two")):
        other = checkpoint(tmp_path / name, told, weights)
        assert checkpoint_digest(other) != checkpoint_digest(first)


@pytest.mark.parametrize(
    ("text", "other", "equal"),
    [
        ({"rope_theta": 1, "hidden_size": 2}, {"hidden_size": 2, "rope_theta": 1}, True),
        ({"rope_theta": 1, "_name_or_path": "here"}, {"rope_theta": 1}, True),
        ({"transformers_version": "4"}, {"transformers_version": "5"}, True),
        ({"text_config": {"_name_or_path": "here"}}, {"text_config": {}}, True),
        ({"torch_dtype": "float16"}, {"dtype": "float16"}, True),
        ({"torch_dtype": "float16"}, {"dtype": "bfloat16"}, False),
        ({"rope_theta": 1}, {"rope_theta": 2}, False),
    ],
)
def test_what_wrote_a_configuration_does_not_count(
    tmp_path: Path, text: dict[str, Any], other: dict[str, Any], equal: bool
) -> None:
    folders = [checkpoint(tmp_path / "a", text), checkpoint(tmp_path / "b", other)]
    assert (config_digest(folders[0]) == config_digest(folders[1])) is equal


def test_every_file_that_says_something_of_the_model_counts(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "a")
    assert config_digest(folder) == "none"
    seen = {"none"}
    for name in ("config.json", "params.json", "hf_quant_config.json", "adapter_config.json"):
        (folder / name).write_text(json.dumps({"lora_alpha": 16}))
        seen.add(config_digest(folder))
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("told", "counts"),
    [
        ({"rope_scaling": {"rope_type": "longrope"}}, True),
        ({"rope_scaling": {"type": "su"}}, True),
        ({"text_config": {"rope_parameters": {"full": {"rope_type": "dynamic"}}}}, True),
        ({"rope_scaling": {"rope_type": "yarn"}}, False),
        ({"quantization_config": {"activation_scheme": "dynamic"}}, False),
    ],
)
def test_the_longest_sequence_counts_where_keys_depend_on_it(
    tmp_path: Path, told: dict[str, Any], counts: bool
) -> None:
    folder = checkpoint(tmp_path / "a", told)
    assert (config_digest(folder, 4096) != config_digest(folder, 8192)) is counts


def test_weights_are_those_of_the_model_and_its_drafts(tmp_path: Path) -> None:
    model, draft = (checkpoint(tmp_path / name, weights=name.encode()) for name in "ab")
    of_model, of_draft = Checkpoint(str(model)), Checkpoint(str(draft))
    assert named(of_model) == checkpoint_digest(model)
    assert named(of_model, of_model) == named(of_model)
    both = named(of_model, of_draft)
    assert both == f"{checkpoint_digest(model)},{checkpoint_digest(draft)}"
    assert named(Checkpoint("no/such/model"), of_draft, weights=model) == both


def test_an_operator_may_name_weights() -> None:
    lost = Checkpoint("s3://bucket/llama")
    assert named(lost, weights_id="llama@7f3a") == "id:llama@7f3a"
    assert named(lost, weights_id="made-up", load_format="dummy") == "id:made-up"
    with pytest.raises(ConfigInvalid, match=r"s3://bucket/llama.*weights_id"):
        named(lost)


def test_weights_that_are_made_up_have_no_name_but_the_operators(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="weights_id"):
        named(Checkpoint(str(checkpoint(tmp_path / "a"))), load_format="dummy")


def test_a_folder_without_weights_is_found_out_when_it_is_read(tmp_path: Path) -> None:
    naming = weights_named(CheckpointSettings.of({}), Checkpoint(str(tmp_path)))
    with pytest.raises(NotFound, match="no weight file"):
        naming()
