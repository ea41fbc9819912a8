"""Makes a tenant's older API keys invalid; its newest one stays."""

from __future__ import annotations

from holdfast_metanode.state.change import Change
from holdfast_proto import command_pb2 as records


def apply(change: Change, operation: records.RevokeOldKeys) -> records.Result:
    """Raises NotFound."""
    tenant = change.tenant(operation.name)
    del tenant.keys[1:]
    change.put_tenant(tenant)
    return records.Result(tenant=tenant)
