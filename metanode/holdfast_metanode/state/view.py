"""What the store holds, read as typed records."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast_kvstore.cluster_map import ClusterMap
from holdfast_kvstore.errors import NotFound, Unavailable
from holdfast_kvstore.map_codec import decode_map
from holdfast_kvstore.spaces import SpaceSpec
from holdfast_metanode.state import tables
from holdfast_metanode.store.seam import Reader
from holdfast_proto import command_pb2 as records
from holdfast_proto import meta_pb2 as meta


class MapCache:
    """The last decoded cluster map; an epoch names one content for ever."""

    def __init__(self) -> None:
        self._newest: ClusterMap | None = None

    def map_of(self, epoch: int, data: bytes) -> ClusterMap:
        """The map of `epoch`, whose bytes are `data`."""
        found = self._newest
        if found is None or found.epoch != epoch:
            found = self._newest = decode_map(data)
        return found

    def keep(self, value: ClusterMap) -> None:
        """Notes a map that was just made."""
        self._newest = value

    def clear(self) -> None:
        """Forgets, when a transaction that made a map was undone."""
        self._newest = None


class StateView:
    """Typed reads of one transaction. Shorter-lived than the transaction."""

    def __init__(self, source: Reader, cache: MapCache) -> None:
        self._source = source
        self._cache = cache

    # ------------------------------------------------------------------------ cluster

    def applied(self) -> records.AppliedRecord:
        """Position in the Raft log; index 0 in an empty store."""
        return tables.read_applied(self._source)

    def founded(self) -> bool:
        """Whether the cluster was bootstrapped."""
        return self._source.get(tables.CLUSTER) is not None

    def cluster(self) -> records.ClusterRecord:
        """Raises Unavailable before the cluster was bootstrapped."""
        data = self._source.get(tables.CLUSTER)
        if data is None:
            raise Unavailable(
                "this member does not belong to a running cluster yet: start the other members, "
                "then try again"
            )
        return records.ClusterRecord.FromString(data)

    def counters(self) -> records.CountersRecord:
        """All zero in an empty store."""
        return records.CountersRecord.FromString(self._source.get(tables.COUNTERS) or b"")

    def epoch(self) -> int:
        """Of the cluster map; 0 before the cluster was bootstrapped."""
        return int.from_bytes(self._source.get(tables.EPOCH) or b"", "big")

    def map_bytes(self) -> bytes:
        """The cluster map as `holdfast_kvstore.map_codec` draws it. Raises Unavailable."""
        data = self._source.get(tables.MAP)
        if data is None:
            self.cluster()
            raise AssertionError("a bootstrapped cluster has a map")
        return data

    def map(self) -> ClusterMap:
        """The cluster map. Raises Unavailable before the cluster was bootstrapped."""
        return self._cache.map_of(self.epoch(), self.map_bytes())

    # ------------------------------------------------------------------------ tenants, spaces

    def tenant_number(self, name: str) -> int | None:
        """Number of a tenant, or None."""
        data = self._source.get(tables.TENANT_NAMES + name.encode())
        return None if data is None else int.from_bytes(data, "big")

    def tenant(self, name: str) -> records.TenantRecord:
        """Raises NotFound."""
        number = self.tenant_number(name)
        if number is None:
            raise NotFound(f"tenant {name!r} does not exist: create it first", tenant=name)
        return self.tenant_of_number(number)

    def tenant_of_number(self, number: int) -> records.TenantRecord:
        """Raises NotFound."""
        data = self._source.get(tables.u32_key(tables.TENANTS, number))
        if data is None:
            raise NotFound(f"tenant number {number} does not exist: it was deleted")
        return records.TenantRecord.FromString(data)

    def tenants(self) -> Iterator[records.TenantRecord]:
        """By number."""
        for _, data in self._source.scan(tables.TENANTS):
            yield records.TenantRecord.FromString(data)

    def find_space(self, tenant_number: int, name: str) -> records.SpaceRecord | None:
        """A space by name, or None."""
        number = self._source.get(tables.space_name_key(tenant_number, name))
        if number is None:
            return None
        data = self._source.get(tables.SPACES + number)
        assert data is not None, "a space's name points at its record"
        return records.SpaceRecord.FromString(data)

    def space(self, tenant: records.TenantRecord, name: str) -> records.SpaceRecord:
        """Raises NotFound."""
        found = self.find_space(tenant.number, name)
        if found is None:
            raise NotFound(
                f"space {name!r} of tenant {tenant.name!r} does not exist: create it first",
                tenant=tenant.name,
                space=name,
            )
        return found

    def spaces(self) -> Iterator[records.SpaceRecord]:
        """All of them, by number."""
        for _, data in self._source.scan(tables.SPACES):
            yield records.SpaceRecord.FromString(data)

    def spaces_of(self, tenant_number: int) -> Iterator[records.SpaceRecord]:
        """A tenant's spaces, by name."""
        for _, number in self._source.scan(tables.u32_key(tables.SPACE_NAMES, tenant_number)):
            data = self._source.get(tables.SPACES + number)
            assert data is not None, "a space's name points at its record"
            yield records.SpaceRecord.FromString(data)

    # ------------------------------------------------------------------------ moves, members

    def move(self, group: int) -> records.MoveRecord | None:
        """Who still has to take over a group's blocks; None when nothing moves."""
        data = self._source.get(tables.u32_key(tables.MOVES, group))
        return None if data is None else records.MoveRecord.FromString(data)

    def moves(self) -> Iterator[tuple[int, records.MoveRecord]]:
        """(group, move) of every group that moves, by group."""
        for key, data in self._source.scan(tables.MOVES):
            yield tables.u32_of(key), records.MoveRecord.FromString(data)

    def members(self) -> list[records.RegisterMember]:
        """Members that registered their address, by id."""
        found = self._source.scan(tables.MEMBERS)
        return [records.RegisterMember.FromString(data) for _, data in found]

    def is_former_member(self, member_id: int) -> bool:
        """Whether a member of this id was removed; an id is not used twice."""
        return self._source.get(tables.u64_key(tables.FORMER_MEMBERS, member_id)) is not None


def space_info(record: records.SpaceRecord, spec: SpaceSpec | None = None) -> meta.SpaceInfo:
    """A stored space as services send it. `spec`: the record's, if it was read already."""
    spec = spec or SpaceSpec.decode(record.spec)
    return meta.SpaceInfo(
        tenant=spec.tenant,
        name=spec.name,
        tenant_number=spec.tenant_number,
        number=spec.number,
        block_bytes=spec.block_bytes,
        redundancy=str(spec.redundancy),
        ttl_s=spec.ttl_s,
        priority=spec.priority,
        fingerprint=spec.fingerprint,
        generation=spec.generation,
        created_at_ms=record.created_at_ms,
    )


def tenant_info(record: records.TenantRecord) -> meta.TenantInfo:
    """A stored tenant as services send it."""
    return meta.TenantInfo(
        name=record.name,
        number=record.number,
        limit_bytes=record.limit_bytes,
        spaces=record.spaces,
        created_at_ms=record.created_at_ms,
        keys=len(record.keys),
    )
