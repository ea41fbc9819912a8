"""One command's changes to the state, on top of its typed reads."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast_kvstore.cluster_map import ClusterMap
from holdfast_kvstore.map_codec import encode_map
from holdfast_metanode.state import tables
from holdfast_metanode.state.view import MapCache, StateView
from holdfast_metanode.store.seam import Writer
from holdfast_proto import command_pb2 as records


class Change(StateView):
    """What an operation may read and write. No clock, no randomness: only `now_ms`."""

    def __init__(self, writer: Writer, cache: MapCache, now_ms: int) -> None:
        super().__init__(writer, cache)
        self._writer = writer
        self.now_ms = now_ms
        """The command's stamp, never less than that of a command before it; Unix ms."""

    def put_cluster(self, record: records.ClusterRecord) -> None:
        """Replaces the cluster's record."""
        self._writer.put(tables.CLUSTER, record.SerializeToString())

    def put_counters(self, record: records.CountersRecord) -> None:
        """Replaces the counters."""
        self._writer.put(tables.COUNTERS, record.SerializeToString())

    def touch_view(self) -> None:
        """Data nodes must look again: something that they are told of has changed."""
        counters = self.counters()
        counters.view_version += 1
        self.put_counters(counters)

    def put_map(self, value: ClusterMap) -> None:
        """Installs the next map; its epoch must be the present one plus one."""
        assert value.epoch == self.epoch() + 1, "epochs count up by one"
        self._writer.put(tables.MAP, encode_map(value))
        self._writer.put(tables.EPOCH, value.epoch.to_bytes(8, "big"))
        self._cache.keep(value)
        self.touch_view()

    def put_tenant(self, record: records.TenantRecord) -> None:
        """Creates or replaces a tenant."""
        number = record.number.to_bytes(4, "big")
        self._writer.put(tables.TENANTS + number, record.SerializeToString())
        self._writer.put(tables.TENANT_NAMES + record.name.encode(), number)

    def delete_tenant(self, record: records.TenantRecord) -> None:
        """Removes a tenant without spaces."""
        self._writer.delete(tables.u32_key(tables.TENANTS, record.number))
        self._writer.delete(tables.TENANT_NAMES + record.name.encode())

    def put_space(
        self, tenant_number: int, name: str, number: int, record: records.SpaceRecord
    ) -> None:
        """Creates a space."""
        key = number.to_bytes(4, "big")
        self._writer.put(tables.SPACES + key, record.SerializeToString())
        self._writer.put(tables.space_name_key(tenant_number, name), key)

    def delete_space(self, tenant_number: int, name: str, number: int) -> None:
        """Removes a space."""
        self._writer.delete(tables.u32_key(tables.SPACES, number))
        self._writer.delete(tables.space_name_key(tenant_number, name))

    def put_move(self, group: int, record: records.MoveRecord) -> None:
        """Notes who has to take over a group's blocks."""
        self._writer.put(tables.u32_key(tables.MOVES, group), record.SerializeToString())

    def delete_moves(self, groups: Iterable[int]) -> None:
        """Nothing of these groups moves any more."""
        for group in groups:
            self._writer.delete(tables.u32_key(tables.MOVES, group))

    def put_member(self, record: records.RegisterMember) -> None:
        """Creates or replaces a member's record."""
        self._writer.put(tables.u64_key(tables.MEMBERS, record.id), record.SerializeToString())

    def retire_member(self, member_id: int) -> None:
        """Removes a member; its id is not given again."""
        self._writer.delete(tables.u64_key(tables.MEMBERS, member_id))
        self._writer.put(tables.u64_key(tables.FORMER_MEMBERS, member_id), b"\x01")
