from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.metanode.member_processes import Members


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Members]:
    """Three members that have just been started."""
    with Members(tmp_path, 3) as members:
        yield members


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Members]:
    """One member, shared by the tests of a module."""
    with Members(tmp_path_factory.mktemp("one"), 1) as members:
        members.leader()
        yield members
