"""Spaces: opened, checked, deleted, never confused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import holdfast
from holdfast.local_cluster.waiting import wait_for
from tests.client.blocks import check_blocks, keys, put_blocks
from tests.client.conftest import BLOCK_BYTES

pytestmark = pytest.mark.process

Name = Callable[[], str]


def test_a_space_has_what_it_was_created_with(
    tcp_cluster: holdfast.Cluster, new_name: Name
) -> None:
    name = new_name()
    made = tcp_cluster.space(
        name,
        block_bytes=512,
        redundancy="mirror:2",
        ttl=60,
        priority=9,
        fingerprint="f",
        create=True,
    )
    opened = tcp_cluster.space(name)
    assert opened.number == made.number
    assert (opened.block_bytes, opened.redundancy, opened.ttl) == (512, "mirror:2", 60)
    assert (opened.priority, opened.fingerprint, opened.name) == (9, "f", name)
    assert name in tcp_cluster.spaces()


def test_opening_a_space_that_is_not_there(tcp_cluster: holdfast.Cluster) -> None:
    with pytest.raises(holdfast.NotFound, match="no-such-space"):
        tcp_cluster.space("no-such-space")


@pytest.mark.parametrize(
    ("asked", "field", "stored", "wanted"),
    [
        ({"block_bytes": 8192}, "block_bytes", "4096", "8192"),
        ({"fingerprint": "other"}, "fingerprint", "model-a", "other"),
        ({"redundancy": "mirror:2"}, "redundancy", "single", "mirror:2"),
    ],
)
def test_another_shape_than_stored_is_an_error_that_shows_both(
    tcp_cluster: holdfast.Cluster,
    new_name: Name,
    asked: dict[str, object],
    field: str,
    stored: str,
    wanted: str,
) -> None:
    name = new_name()
    tcp_cluster.space(name, block_bytes=4096, fingerprint="model-a", create=True)
    with pytest.raises(holdfast.SpaceMismatch) as caught:
        tcp_cluster.space(name, **asked)  # type: ignore[arg-type]
    assert field in str(caught.value)
    assert stored in caught.value.stored
    assert wanted in caught.value.asked


def test_a_created_space_needs_a_block_size(tcp_cluster: holdfast.Cluster) -> None:
    with pytest.raises(holdfast.InvalidArgument, match="block_bytes"):
        tcp_cluster.space("new", create=True)


def test_a_name_created_again_never_shows_the_old_blocks(
    cluster: holdfast.Cluster, new_name: Name
) -> None:
    name = new_name()
    old = cluster.space(name, block_bytes=BLOCK_BYTES, create=True)
    put_blocks(old, 0, 5)
    cluster.delete_space(name)
    new = cluster.space(name, block_bytes=BLOCK_BYTES, create=True)
    assert new.number != old.number
    assert new.match(keys(0, 5)) == 0
    put_blocks(new, 0, 5)
    check_blocks(new, 0, 5)


def test_a_deleted_space_says_so(local: holdfast.LocalCluster, new_name: Name) -> None:
    name = new_name()
    with local.connect() as mine, local.connect() as other:
        space = mine.space(name, block_bytes=BLOCK_BYTES, create=True)
        put_blocks(space, 0, 1)
        other.delete_space(name)

        def is_refused() -> bool:
            try:
                space.match(keys(0, 1))
            except holdfast.NotFound as error:
                return "deleted" in str(error)
            return False

        wait_for("word of the deletion", is_refused, 10)


def test_nothing_is_kept_of_spaces_that_were_deleted(
    local: holdfast.LocalCluster, new_name: Name
) -> None:
    with local.connect() as mine:
        kept = mine.space(new_name(), block_bytes=BLOCK_BYTES, create=True)
        for _ in range(3):
            name = new_name()
            mine.space(name, block_bytes=BLOCK_BYTES, create=True)
            mine.delete_space(name)
        bindings = mine._live()._bindings
        wait_for("the end of the others", lambda: set(bindings) == {kept.number}, 10)
        assert kept.match(keys(0, 1)) == 0


def test_two_spaces_with_the_same_keys_hold_their_own_blocks(
    tcp_cluster: holdfast.Cluster, new_name: Name
) -> None:
    first = tcp_cluster.space(new_name(), block_bytes=BLOCK_BYTES, create=True)
    second = tcp_cluster.space(new_name(), block_bytes=BLOCK_BYTES, create=True)
    put_blocks(first, 0, 3)
    assert second.match(keys(0, 3)) == 0


def test_a_wrong_key_is_refused_at_the_first_use(local: holdfast.LocalCluster) -> None:
    with (
        holdfast.connect(local.address, tenant=local.tenant, key="wrong") as cluster,
        pytest.raises(holdfast.Unauthenticated),
    ):
        cluster.space("any", block_bytes=BLOCK_BYTES, create=True)


def test_an_unknown_tenant_is_refused(local: holdfast.LocalCluster) -> None:
    with (
        holdfast.connect(local.address, tenant="nobody", key=local.key) as cluster,
        pytest.raises(holdfast.Unauthenticated),
    ):
        cluster.spaces()


def test_tenants_do_not_see_each_others_spaces(local: holdfast.LocalCluster) -> None:
    key = local.admin.create_tenant("other-tenant").api_key
    with (
        local.connect() as mine,
        holdfast.connect(local.address, tenant="other-tenant", key=key) as theirs,
    ):
        space = mine.space("shared-name", block_bytes=BLOCK_BYTES, create=True)
        put_blocks(space, 0, 3)
        other = theirs.space("shared-name", block_bytes=BLOCK_BYTES, create=True)
        assert other.number != space.number
        assert other.match(keys(0, 3)) == 0


def test_a_space_of_shards_is_bound_once_rows_are_as_wide_as_it_needs(
    tcp_cluster: holdfast.Cluster, new_name: Name
) -> None:
    name = new_name()
    with pytest.raises(holdfast.FailedPrecondition, match="needs 4 data nodes, 3 of this cluster"):
        tcp_cluster.space(name, block_bytes=1 << 20, redundancy="ec:3+1", create=True)
    made = tcp_cluster.space(
        name, block_bytes=1 << 20, redundancy="ec:3+1", create=True, force=True
    )
    assert made.redundancy == "ec:3+1"
    assert made.survival is not None
    assert (made.survival.placed, made.survival.owners, made.survival.hosts) == (3, 4, 0)
    assert not made.survival.is_whole
    opened = tcp_cluster.space(name, redundancy="ec:3+1")
    assert opened.number == made.number
    with pytest.raises(holdfast.InvalidArgument, match="32 data and 1 to 8 parity"):
        tcp_cluster.space(new_name(), block_bytes=4096, redundancy="ec:40+9", create=True)
    tcp_cluster.delete_space(name)
