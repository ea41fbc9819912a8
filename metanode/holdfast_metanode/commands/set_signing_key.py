"""Gives the cluster a new key for tickets; tickets of the one before stay valid to their end."""

from __future__ import annotations

from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast_kvstore.errors import InvalidArgument
from holdfast_kvstore.tickets import public_key_bytes
from holdfast_metanode.state.change import Change
from holdfast_proto import command_pb2 as records

SIGNING_KEYS_MAX = 2
"""Keys whose tickets hold at a time; equal on all members."""


def apply(change: Change, operation: records.SetSigningKey) -> records.Result:
    """The newest key signs. Raises InvalidArgument."""
    cluster = change.cluster()
    if len(operation.signing_key) != 32:
        raise InvalidArgument(f"a signing key has 32 bytes, not {len(operation.signing_key)}")
    before = change.map()
    if operation.signing_key in cluster.signing_keys:
        return records.Result(map=records.MapResult(epoch=before.epoch))
    keys = [operation.signing_key, *cluster.signing_keys][:SIGNING_KEYS_MAX]
    del cluster.signing_keys[:]
    cluster.signing_keys.extend(keys)
    change.put_cluster(cluster)
    public = [public_key_bytes(Ed25519PrivateKey.from_private_bytes(key)) for key in keys]
    after = replace(before, epoch=before.epoch + 1, ticket_keys=tuple(public))
    change.put_map(after)
    return records.Result(map=records.MapResult(epoch=after.epoch))
