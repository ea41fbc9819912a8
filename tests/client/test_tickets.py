"""Tickets live for seconds and are renewed in the background."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import holdfast
from holdfast.local_cluster.waiting import wait_for
from tests.client.blocks import keys, put_blocks

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(120)]

TICKET_LIFE_S = 5
BLOCK_BYTES = 4096


@pytest.fixture(scope="module")
def short_lived() -> Iterator[holdfast.LocalCluster]:
    layout = holdfast.LocalLayout(arena_mib=64, ticket_life_s=TICKET_LIFE_S)
    with holdfast.LocalCluster(layout) as running:
        yield running


def test_calls_go_on_over_many_lives_of_a_ticket(short_lived: holdfast.LocalCluster) -> None:
    with short_lived.connect() as cluster:
        space = cluster.space("renewed", block_bytes=BLOCK_BYTES, create=True)
        idle = cluster.space("idle", block_bytes=BLOCK_BYTES, create=True)
        put_blocks(space, 0, 4)
        put_blocks(idle, 0, 4)
        end = time.monotonic() + 2.5 * TICKET_LIFE_S
        while time.monotonic() < end:
            assert space.match(keys(0, 4)) == 4
        assert idle.match(keys(0, 4)) == 4


def test_a_new_client_meets_old_connections_of_others(short_lived: holdfast.LocalCluster) -> None:
    with short_lived.connect() as first:
        space = first.space("shared", block_bytes=BLOCK_BYTES, create=True)
        put_blocks(space, 0, 4)
        with short_lived.connect() as second:
            assert second.space("shared").match(keys(0, 4)) == 4
        assert space.match(keys(0, 4)) == 4


def test_a_revoked_key_ends_at_the_next_renewal(short_lived: holdfast.LocalCluster) -> None:
    key = short_lived.admin.create_tenant("revoked").api_key
    with holdfast.connect(short_lived.address, tenant="revoked", key=key) as cluster:
        space = cluster.space("space", block_bytes=BLOCK_BYTES, create=True)
        put_blocks(space, 0, 1)
        new_key = short_lived.admin.rotate_key("revoked").api_key
        assert space.match(keys(0, 1)) == 1
        short_lived.admin.revoke_old_keys("revoked")

        def is_refused() -> bool:
            try:
                space.match(keys(0, 1))
            except holdfast.Unauthenticated:
                return True
            return False

        wait_for("the end of the old key", is_refused, 3 * TICKET_LIFE_S)
    with holdfast.connect(short_lived.address, tenant="revoked", key=new_key) as cluster:
        assert cluster.space("space").match(keys(0, 1)) == 1


def test_serving_goes_on_without_metadata_and_renews_after_it(
    short_lived: holdfast.LocalCluster,
) -> None:
    with short_lived.connect() as cluster:
        space = cluster.space("outage", block_bytes=BLOCK_BYTES, create=True)
        put_blocks(space, 0, 4)
        short_lived.members[0].kill()
        assert space.match(keys(0, 4)) == 4
        # Long enough that every ticket has ended when the member comes back.
        wait_for("the tickets' end", lambda: space.match(keys(0, 4)) == 0, 4 * TICKET_LIFE_S)
        short_lived.members[0].start()
        wait_for("renewed tickets", lambda: space.match(keys(0, 4)) == 4, 30)
