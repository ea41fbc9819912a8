from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_datanode import load_config
from holdfast_kvstore.errors import ConfigInvalid

SMALLEST = """
data_directory = "state"
members = ["127.0.0.1:7300"]
secret = "env:SECRET"
arena_mib = 64
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "node.toml"
    path.write_text(text)
    return path


def test_the_smallest_configuration(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, SMALLEST))
    assert config.data_directory == tmp_path / "state"
    assert config.members == ("127.0.0.1:7300",)
    assert config.listen == "127.0.0.1:7400"
    assert config.placement_weight == 64
    assert config.metrics.listen is None


def test_every_section_can_be_given(tmp_path: Path) -> None:
    more = 'unix_path = "node.sock"\n[serving]\nspin_us = 50\n[metrics]\nlisten = "127.0.0.1:0"\n'
    config = load_config(write(tmp_path, SMALLEST + more))
    assert config.unix_path == tmp_path / "node.sock"
    assert config.serving.spin_us == 50
    assert config.metrics.listen == "127.0.0.1:0"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("arena_gib = 1", "arena_gib is no field of this file"),
        ('listen = "0.0.0.0:7400"', "insecure_network = true"),
        ('listen = "10.0.0.7:7400"', "insecure_network = true"),
        ('listen = "storage.example:7400"', "insecure_network = true"),
        ('listen = "7400"', "not of the form host:port"),
        ('listen = "127.0.0.1:70000"', "not of the form host:port"),
        ('advertise = "127.0.0.1:0"', "needs a port other than 0"),
        ('advertise = "nowhere"', "not of the form host:port"),
        ("extent_mib = 24", "must be a power of two"),
        ("extent_mib = 128", "must be a multiple of extent_mib"),
        ("weight = -1", "weight is -1, it must be at least 0"),
        ('weight = "1"', "weight is '1', it must be a whole number"),
        ("stop_deadline_ms = 600001", "stop_deadline_ms is 600001, it must be at most 600000"),
        (f'unix_path = "{"x" * 200}"', "unix_path has"),
        ("[serving]\nreactors = 0", "serving.reactors is 0, it must be at least 1"),
        ('[metrics]\nlisten = "0.0.0.0:9100"', "metrics.listen '0.0.0.0:9100' can be reached"),
        (
            '[log]\nlevel = "loud"',
            "log.level is 'loud', it must be 'debug', 'info', 'warning' or 'error'",
        ),
        ("prefault = 1", "prefault is 1, it must be true or false"),
        ("serving = 1", "serving is 1, it must be a section of its own"),
        ("rack = 1", "rack is 1, it must be text in quotes"),
        ("arena_mib = 64 # twice", "is not TOML"),
    ],
)
def test_what_does_not_hold_is_refused_by_name(tmp_path: Path, line: str, complaint: str) -> None:
    path = write(tmp_path, SMALLEST + line)
    with pytest.raises(ConfigInvalid) as caught:
        load_config(path)
    assert str(path) in caught.value.message
    assert complaint in caught.value.message
    for word in ("Input should", "Field required", "Value error", "file:", "pydantic"):
        assert word not in caught.value.message


def test_other_machines_are_served_in_plain_text_only_when_asked_for(tmp_path: Path) -> None:
    text = SMALLEST + 'listen = "0.0.0.0:7400"\nadvertise = "10.0.0.7:7400"\n'
    with pytest.raises(ConfigInvalid):
        load_config(write(tmp_path, text))
    config = load_config(write(tmp_path, text + "insecure_network = true\n"))
    assert config.advertise == "10.0.0.7:7400"


def test_members_on_other_machines_need_an_authority(tmp_path: Path) -> None:
    text = SMALLEST.replace("127.0.0.1:7300", "10.0.0.1:7300")
    with pytest.raises(ConfigInvalid, match="members_authority"):
        load_config(write(tmp_path, text))
    config = load_config(write(tmp_path, text + 'members_authority = "authority.pem"\n'))
    assert config.members_authority == tmp_path / "authority.pem"
    load_config(write(tmp_path, text + "insecure_network = true\n"))


def test_an_address_that_nobody_can_dial_must_be_advertised_as_another(tmp_path: Path) -> None:
    text = SMALLEST + 'listen = "0.0.0.0:7400"\ninsecure_network = true\n'
    with pytest.raises(ConfigInvalid, match="advertise"):
        load_config(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        load_config(tmp_path / "absent.toml")


@pytest.mark.parametrize("endless", ["/dev/zero", "/dev/urandom"])
def test_what_may_never_end_is_not_read(endless: str) -> None:
    with pytest.raises(ConfigInvalid, match="not a regular file"):
        load_config(Path(endless))
