from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_datanode.identity import DataDirectory, Identity
from holdfast_kvstore.errors import ConfigInvalid, Corrupt, VersionSkew

IDENTITY = Identity(7, bytes(range(16)))


def test_an_identity_lasts_as_long_as_its_directory(tmp_path: Path) -> None:
    with DataDirectory(tmp_path / "state") as directory:
        assert directory.load_identity() is None
        directory.store_identity(IDENTITY)
    with DataDirectory(tmp_path / "state") as directory:
        assert directory.load_identity() == IDENTITY


def test_a_directory_serves_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        DataDirectory(tmp_path),
        pytest.raises(ConfigInvalid, match="in use by another data node"),
        DataDirectory(tmp_path),
    ):
        pass
    with DataDirectory(tmp_path):
        pass


def test_the_ready_file_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    (tmp_path / "ready.json").write_text("{}")
    with DataDirectory(tmp_path) as directory:
        assert not directory.ready_file.exists()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", Corrupt),
        ("[]", Corrupt),
        ('{"version": 1, "node": 0, "cluster_id": "00"}', Corrupt),
        ('{"version": 1, "node": 7, "cluster_id": "zz"}', Corrupt),
        ('{"version": 1, "node": 7, "cluster_id": "00"}', Corrupt),
        ('{"version": 2}', VersionSkew),
    ],
)
def test_a_damaged_identity_is_an_error_and_never_a_new_node(
    tmp_path: Path, text: str, error: type[Exception]
) -> None:
    with DataDirectory(tmp_path) as directory:
        directory.identity_file.write_text(text)
        with pytest.raises(error):
            directory.load_identity()
