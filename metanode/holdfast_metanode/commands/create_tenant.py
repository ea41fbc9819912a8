"""Creates a tenant with its first API key."""

from __future__ import annotations

from holdfast_kvstore.errors import AlreadyExists, QuotaExceeded
from holdfast_kvstore.spaces import check_name
from holdfast_metanode.state.change import Change
from holdfast_proto import command_pb2 as records

TENANTS_MAX = 65_536
"""Tenants of one cluster; equal on all members."""


def apply(change: Change, operation: records.CreateTenant) -> records.Result:
    """Raises InvalidArgument, AlreadyExists, QuotaExceeded."""
    check_name("tenant", operation.name)
    if change.tenant_number(operation.name) is not None:
        raise AlreadyExists(
            f"tenant {operation.name!r} exists: choose another name, or rotate its key",
            tenant=operation.name,
        )
    counters = change.counters()
    if counters.tenants >= TENANTS_MAX:
        raise QuotaExceeded(f"{TENANTS_MAX} tenants are the limit: delete one first")
    counters.tenant_last += 1
    counters.tenants += 1
    tenant = records.TenantRecord(
        name=operation.name,
        number=counters.tenant_last,
        limit_bytes=operation.limit_bytes,
        created_at_ms=change.now_ms,
        keys=[operation.key],
    )
    change.put_counters(counters)
    change.put_tenant(tenant)
    change.touch_view()
    return records.Result(tenant=tenant)
