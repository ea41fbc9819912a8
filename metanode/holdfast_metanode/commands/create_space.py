"""Creates a space of a tenant, or finds the one that is there."""

from __future__ import annotations

from holdfast_kvstore.errors import QuotaExceeded
from holdfast_kvstore.policies import LIMITS
from holdfast_kvstore.redundancy import Redundancy
from holdfast_kvstore.spaces import SpaceSpec
from holdfast_metanode.state import levels
from holdfast_metanode.state.change import Change
from holdfast_metanode.state.moving import widened
from holdfast_metanode.state.shard_room import check_shard_room
from holdfast_proto import command_pb2 as records

SPACES_PER_TENANT_MAX = 65_536
"""Spaces of one tenant; equal on all members."""


def apply(change: Change, operation: records.CreateSpace) -> records.Result:
    """Two callers who create the same space both get it. Rows of groups become as wide as it needs.

    Raises SpaceMismatch when it exists with another block size, fingerprint or redundancy,
    InvalidArgument, NotFound for the tenant, QuotaExceeded; FailedPrecondition where a block's
    shards have too few nodes or hosts.
    """
    tenant = change.tenant_of_number(operation.tenant_number)
    found = change.find_space(tenant.number, operation.name)
    if found is not None:
        SpaceSpec.decode(found.spec).check_matches(
            block_bytes=operation.block_bytes or None,
            fingerprint=operation.fingerprint,
            redundancy=Redundancy.parse(operation.redundancy) if operation.redundancy else None,
        )
        return records.Result(space=found)
    if tenant.spaces >= SPACES_PER_TENANT_MAX:
        raise QuotaExceeded(
            f"tenant {tenant.name!r} has {tenant.spaces} spaces, the limit: delete one first"
        )
    counters = change.counters()
    counters.space_last += 1
    counters.spaces += 1
    spec = spec_of(operation, tenant.name, counters.space_last)
    before = change.map()
    if spec.redundancy.is_cut:
        check_shard_room(before, spec.redundancy, force=operation.force)
        _check_places(before.group_count, spec.redundancy)
    record = records.SpaceRecord(spec=spec.encode(), created_at_ms=change.now_ms)
    tenant.spaces += 1
    counters.view_version += 1
    change.put_counters(counters)
    change.put_tenant(tenant)
    change.put_space(tenant.number, spec.name, spec.number, record)
    if spec.redundancy.owners > before.width and change.cluster().level >= levels.SHARDS:
        change.put_map(widened(before, spec.redundancy.owners))
    return records.Result(space=record)


def _check_places(group_count: int, redundancy: Redundancy) -> None:
    if group_count * redundancy.owners > LIMITS.places_max:
        raise QuotaExceeded(
            f"{redundancy} needs rows of {redundancy.owners} places, {group_count} groups can have "
            f"{LIMITS.places_max // group_count}: use fewer shards"
        )


def spec_of(operation: records.CreateSpace, tenant: str, number: int) -> SpaceSpec:
    """What is asked for. tenant: its name. Raises InvalidArgument."""
    return SpaceSpec(
        name=operation.name,
        tenant=tenant,
        tenant_number=operation.tenant_number,
        number=number,
        block_bytes=operation.block_bytes,
        redundancy=Redundancy.parse(operation.redundancy or "single"),
        ttl_s=operation.ttl_s,
        priority=operation.priority,
        fingerprint=operation.fingerprint,
    )
