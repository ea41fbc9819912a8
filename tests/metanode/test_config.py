"""The configuration is checked once, and each complaint names its field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from holdfast_kvstore.errors import ConfigInvalid
from holdfast_metanode.config import load_config, parse_config


def values(**cluster: Any) -> dict[str, Any]:
    return {
        "member": {"id": 1, "data": "/var/lib/holdfast"},
        "cluster": {
            "secret": "file:/etc/holdfast/secret",
            "initial_members": [{"id": 1, "address": "127.0.0.1:7400"}],
        }
        | cluster,
    }


def test_defaults() -> None:
    config = parse_config(values(), "test")
    assert config.cluster.group_count == 400
    assert config.nodes.down_after_ms == 3_000
    assert config.raft.tick_ms * config.raft.election_ticks == 1_000


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"member": {"id": 0, "data": "/d"}}, "member.id is 0, it must be at least 1"),
        ({"member": {"id": 2, "data": "/d"}}, "not among the initial_members"),
        ({"member": {"id": 1, "data": "/d", "listen": "0.0.0.0:1"}}, "need \\[tls\\]"),
        (
            {"member": {"id": 1, "data": "/d", "listen": "nonsense"}},
            "member.listen is 'nonsense', it must be of the form host:port",
        ),
        ({"colour": "red"}, "colour is no field of this file"),
        ({"raft": {"tick_ms": 1}}, "raft.tick_ms is 1, it must be at least 5"),
        ({"raft": {"heartbeat_ticks": 20}}, "heartbeat_ticks must be less"),
        ({"nodes": {"down_after_ms": 100}}, "must hold"),
        (values(join=["127.0.0.1:1"]), "either initial_members"),
        (values(initial_members=[]), "either initial_members"),
        (
            values(initial_members=[{"id": n, "address": "a:1"} for n in (1, 2)]),
            "must have 1, 3 or 5",
        ),
        (values(initial_members=[{"id": 1, "address": "a:1"}] * 3), "twice"),
    ],
)
def test_complaints_name_the_field(changed: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigInvalid, match=complaint):
        parse_config(values() | changed, "test")
    with pytest.raises(ConfigInvalid) as caught:
        parse_config(values() | changed, "test")
    assert "Value error" not in caught.value.message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        load_config(tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[member")
    with pytest.raises(ConfigInvalid, match="is not TOML"):
        load_config(broken)


@pytest.mark.parametrize("endless", ["/dev/zero", "/dev/urandom"])
def test_what_may_never_end_is_not_read(endless: str) -> None:
    with pytest.raises(ConfigInvalid, match="not a regular file"):
        load_config(Path(endless))
