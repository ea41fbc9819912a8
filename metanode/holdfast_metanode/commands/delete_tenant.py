"""Deletes a tenant that has no spaces. Its number is never given again."""

from __future__ import annotations

from holdfast_kvstore.errors import FailedPrecondition
from holdfast_metanode.state.change import Change
from holdfast_proto import command_pb2 as records


def apply(change: Change, operation: records.DeleteTenant) -> records.Result:
    """Raises NotFound, FailedPrecondition."""
    tenant = change.tenant(operation.name)
    if tenant.spaces:
        raise FailedPrecondition(
            f"tenant {tenant.name!r} still has {tenant.spaces} spaces: delete them first",
            tenant=tenant.name,
        )
    counters = change.counters()
    counters.tenants -= 1
    change.put_counters(counters)
    change.delete_tenant(tenant)
    change.touch_view()
    return records.Result(tenant=tenant)
