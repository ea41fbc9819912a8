"""Who a caller says to be: keys and names are checked before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast._credentials import TenantCredential

KEY = "hf_0123456789abcdefghijklmnopqrstuv"


def key_sent(key: str) -> str:
    return dict(TenantCredential("team", key).headers("method", b""))["holdfast-key"]


@pytest.mark.parametrize("written", [KEY, f"{KEY}\n", f"  {KEY}\r\n"])
def test_white_space_around_a_key_is_dropped(
    written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "team.key"
    path.write_text(written)
    monkeypatch.setenv("TEAM_KEY", written)
    assert key_sent(written) == key_sent(f"file:{path}") == key_sent("env:TEAM_KEY") == KEY


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("hf_secret\nhf_other", "white space at place 10 of 18"),
        ("hf_secret other", "white space at place 10"),
        ("hf_s\u00e9cret", "not ASCII at place 5"),
        ("hf_s\x00cret", "control character at place 5"),
        (b"hf_secret", "type bytes"),
    ],
)
def test_what_is_no_key_is_refused_and_not_repeated(wrong: Any, why: str) -> None:
    with pytest.raises(holdfast.InvalidArgument, match=why) as raised:
        holdfast.connect("127.0.0.1:7300", tenant="team", key=wrong)
    assert "cret" not in raised.value.message


def test_a_key_file_of_other_bytes_is_refused_and_a_missing_one_named(tmp_path: Path) -> None:
    path = tmp_path / "team.key"
    path.write_bytes(b"hf_0123456789abcdef\xff\xfe")
    with pytest.raises(holdfast.InvalidArgument, match="not ASCII at place 20"):
        key_sent(f"file:{path}")
    with pytest.raises(holdfast.ConfigInvalid, match="missing"):
        key_sent("file:/missing/key")
    with pytest.raises(holdfast.ConfigInvalid, match="NO_SUCH_KEY"):
        key_sent("env:NO_SUCH_KEY")


@pytest.mark.parametrize("wrong", ["", "caf\u00e9", "team\n", " team", "team ", "a\x7f", 5])
def test_a_tenant_that_metadata_cannot_carry_is_refused(wrong: Any) -> None:
    with pytest.raises(holdfast.InvalidArgument, match="tenant"):
        holdfast.connect("127.0.0.1:7300", tenant=wrong, key=KEY)
