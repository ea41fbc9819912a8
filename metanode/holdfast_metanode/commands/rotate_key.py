"""Gives a tenant a new API key; the one before stays valid until old keys are revoked."""

from __future__ import annotations

from holdfast_metanode.state.change import Change
from holdfast_proto import command_pb2 as records

KEYS_MAX = 2
"""API keys of a tenant that are valid at a time; equal on all members."""


def apply(change: Change, operation: records.RotateKey) -> records.Result:
    """The oldest key goes when there are two. Raises NotFound."""
    tenant = change.tenant(operation.name)
    keys = [operation.key, *tenant.keys][:KEYS_MAX]
    del tenant.keys[:]
    tenant.keys.extend(keys)
    change.put_tenant(tenant)
    return records.Result(tenant=tenant)
