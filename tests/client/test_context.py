"""What `connect` does not get as arguments: environment first, then the context file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import holdfast
from holdfast._context import Context, default_path, known_context
from holdfast.cli.context_file import store_context


@pytest.fixture(autouse=True)
def nothing_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable and no context file of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("HOLDFAST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_the_environment_wins_over_the_context_file(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = Context(address="10.0.0.1:7300", tenant="stored", key="env:STORED")
    store_context(stored, default_path())
    monkeypatch.setenv("HOLDFAST_TENANT", "told")
    monkeypatch.setenv("HOLDFAST_KEY", "")
    found = known_context()
    assert (found.address, found.tenant, found.key) == ("10.0.0.1:7300", "told", "env:STORED")


def test_connect_says_what_is_not_known() -> None:
    with pytest.raises(holdfast.ConfigInvalid, match=r"address is not known.*HOLDFAST_ADDRESS"):
        holdfast.connect()
    with pytest.raises(holdfast.ConfigInvalid, match=r"key is not known.*HOLDFAST_KEY"):
        holdfast.connect("10.0.0.1:7300", tenant="team")


def test_a_context_file_that_was_named_must_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_CONTEXT", str(tmp_path / "none.toml"))
    with pytest.raises(holdfast.ConfigInvalid, match=r"none\.toml does not exist"):
        holdfast.connect()
    # Whoever says everything needs no context.
    holdfast.connect("10.0.0.1:7300", tenant="team", key="hf_0123456789abcdef").close()


@pytest.mark.process
def test_connect_without_arguments_reaches_the_cluster_of_the_context(
    local: holdfast.LocalCluster,
) -> None:
    known = Context(
        address=local.address, tenant=local.tenant, key=f"file:{local.directory / 'tenant.key'}"
    )
    store_context(known, default_path())
    with holdfast.connect() as cluster:
        assert isinstance(cluster.spaces(), list)
    with holdfast.connect(tenant="nobody") as other, pytest.raises(holdfast.Unauthenticated):
        other.spaces()
