"""Deletes a space. Its number is never given again, so that its blocks are never seen again."""

from __future__ import annotations

from holdfast_kvstore.spaces import SpaceSpec
from holdfast_metanode.state.change import Change
from holdfast_proto import command_pb2 as records


def apply(change: Change, operation: records.DeleteSpace) -> records.Result:
    """Raises NotFound."""
    tenant = change.tenant_of_number(operation.tenant_number)
    found = change.space(tenant, operation.name)
    spec = SpaceSpec.decode(found.spec)
    counters = change.counters()
    counters.spaces -= 1
    counters.view_version += 1
    tenant.spaces -= 1
    change.put_counters(counters)
    change.put_tenant(tenant)
    change.delete_space(tenant.number, spec.name, spec.number)
    return records.Result(space=found)
