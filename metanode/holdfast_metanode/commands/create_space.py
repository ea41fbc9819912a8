"""Creates a space of a tenant, or finds the one that is there."""

from __future__ import annotations

from holdfast_kvstore.errors import QuotaExceeded
from holdfast_kvstore.spaces import Redundancy, SpaceSpec
from holdfast_metanode.state.change import Change
from holdfast_proto import command_pb2 as records

SPACES_PER_TENANT_MAX = 65_536
"""Spaces of one tenant; equal on all members."""


def apply(change: Change, operation: records.CreateSpace) -> records.Result:
    """Two callers who create the same space both get it.

    Raises SpaceMismatch when it exists with another block size, fingerprint or redundancy,
    InvalidArgument, NotFound for the tenant, QuotaExceeded.
    """
    tenant = change.tenant_of_number(operation.tenant_number)
    asked = Redundancy.parse(operation.redundancy) if operation.redundancy else None
    found = change.find_space(tenant.number, operation.name)
    if found is not None:
        SpaceSpec.decode(found.spec).check_matches(
            block_bytes=operation.block_bytes or None,
            fingerprint=operation.fingerprint,
            redundancy=asked,
        )
        return records.Result(space=found)
    if tenant.spaces >= SPACES_PER_TENANT_MAX:
        raise QuotaExceeded(
            f"tenant {tenant.name!r} has {tenant.spaces} spaces, the limit: delete one first"
        )
    counters = change.counters()
    counters.space_last += 1
    counters.spaces += 1
    spec = SpaceSpec(
        name=operation.name,
        tenant=tenant.name,
        tenant_number=tenant.number,
        number=counters.space_last,
        block_bytes=operation.block_bytes,
        redundancy=asked or Redundancy(),
        ttl_s=operation.ttl_s,
        priority=operation.priority,
        fingerprint=operation.fingerprint,
    )
    record = records.SpaceRecord(spec=spec.encode(), created_at_ms=change.now_ms)
    tenant.spaces += 1
    counters.view_version += 1
    change.put_counters(counters)
    change.put_tenant(tenant)
    change.put_space(tenant.number, spec.name, spec.number, record)
    return records.Result(space=record)
