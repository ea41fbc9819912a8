"""Adapters count by their weights."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.engines.counters import Counters
from holdfast.engines.vllm.adapters import Adapters
from tests.engines.checkpoints import checkpoint

LOG = logging.getLogger("test")


@pytest.fixture
def adapters() -> Iterator[Adapters]:
    made = Adapters(Counters(), LOG)
    yield made
    made.close()


def settled(adapters: Adapters, path: Path, request: str) -> bytes:
    """Its salt, once that is known."""
    until = time.monotonic() + 20.0
    while (salt := adapters.salt(str(path), request)) is None:
        assert time.monotonic() < until
    return salt


def test_equal_weights_have_equal_salts_and_others_do_not(
    adapters: Adapters, tmp_path: Path
) -> None:
    for name, content in (("a", b"same"), ("b", b"same"), ("c", b"other")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_model.safetensors").write_bytes(content)
    salts = [settled(adapters, tmp_path / name, name) for name in "abc"]
    assert salts[0] == salts[1] != salts[2]


def test_the_scale_of_an_adapter_counts(adapters: Adapters, tmp_path: Path) -> None:
    salts = []
    for alpha in ("16", "32"):
        folder = checkpoint(tmp_path / alpha)
        (folder / "adapter_config.json").write_text(f'{{"lora_alpha": {alpha}}}')
        salts.append(settled(adapters, folder, alpha))
    assert salts[0] != salts[1]


def test_weights_that_were_replaced_are_read_again_for_the_next_request(
    adapters: Adapters, tmp_path: Path
) -> None:
    file = tmp_path / "adapter_model.safetensors"
    file.write_bytes(b"before")
    before = settled(adapters, tmp_path, "a")
    file.write_bytes(b"after!")
    assert settled(adapters, tmp_path, "a") == before, "what the request began with"
    assert settled(adapters, tmp_path, "b") != before


def test_an_adapter_that_cannot_be_read_has_none_and_is_counted(tmp_path: Path) -> None:
    counters = Counters()
    adapters = Adapters(counters, LOG)
    assert adapters.salt(str(tmp_path / "missing"), "a") is None
    until = time.monotonic() + 20.0
    while not counters.total("adapters_unread"):
        assert time.monotonic() < until
    assert adapters.salt(str(tmp_path / "missing"), "a") is None
    adapters.forget("a")
    adapters.close()
