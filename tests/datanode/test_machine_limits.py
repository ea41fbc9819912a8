from __future__ import annotations

import resource
from pathlib import Path

import pytest

from holdfast_datanode.config import DataNodeConfig, ServingConfig
from holdfast_datanode.machine_limits import (
    check_memory,
    descriptors_needed,
    raise_descriptor_limit,
)
from holdfast_kvstore.errors import ConfigInvalid


def config_of(arena_mib: int, extent_mib: int = 16, connections: int = 16) -> DataNodeConfig:
    return DataNodeConfig(
        data_directory=Path("state"),
        members=("127.0.0.1:7300",),
        secret="env:SECRET",
        arena_mib=arena_mib,
        extent_mib=extent_mib,
        serving=ServingConfig(connections_max=connections),
    )


def test_an_arena_larger_than_the_memory_is_refused(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       2000000 kB\nMemAvailable:   1048576 kB\n")
    check_memory(config_of(arena_mib=1024), meminfo)
    with pytest.raises(ConfigInvalid, match="arena_mib is 1040, this machine has 1024 MiB"):
        check_memory(config_of(arena_mib=1040), meminfo)


def test_descriptors_that_the_machine_does_not_give_are_asked_for_by_number() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    config = config_of(arena_mib=1 << 24, extent_mib=1)
    assert descriptors_needed(config) > 1 << 24
    if hard == resource.RLIM_INFINITY or hard > 1 << 24:
        raise_descriptor_limit(config_of(arena_mib=64))
        return
    with pytest.raises(ConfigInvalid, match=f"the limit is {hard}"):
        raise_descriptor_limit(config)
