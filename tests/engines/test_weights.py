"""Equal weights have equal digests, wherever they lie."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from holdfast.engines.weights import weights_digest
from holdfast.errors import NotFound
from tests.engines.checkpoints import checkpoint


def test_the_place_does_not_count_and_every_byte_does(tmp_path: Path) -> None:
    first = weights_digest(checkpoint(tmp_path / "a"))
    assert weights_digest(checkpoint(tmp_path / "b")) == first
    assert weights_digest(checkpoint(tmp_path / "c", weights=b"onf")) != first


def test_files_that_are_no_weights_do_not_count(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "a")
    before = weights_digest(folder)
    (folder / "tokenizer.json").write_text("{ }")
    assert weights_digest(folder) == before


def test_blobs_named_by_their_digest_are_not_read(tmp_path: Path) -> None:
    plain = checkpoint(tmp_path / "plain")
    linked, blobs = tmp_path / "linked", tmp_path / "blobs"
    linked.mkdir()
    blobs.mkdir()
    for file in plain.glob("*.safetensors"):
        blob = blobs / hashlib.sha256(file.read_bytes()).hexdigest()
        blob.write_bytes(b"")  # the name is believed
        (linked / file.name).symlink_to(blob)
    assert weights_digest(linked) == weights_digest(plain)


def test_a_single_file_can_be_named(tmp_path: Path) -> None:
    file = tmp_path / "adapter.npz"
    file.write_bytes(b"x")
    assert len(weights_digest(file)) == 64


def test_a_folder_without_weights_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no weight file"):
        weights_digest(tmp_path)
