"""The operations of the state machine, one file each: `apply(change, operation) -> Result`.

An operation checks first and writes after: what it raises (a `HoldfastError`) is its result, and
leaves nothing behind. It reads no clock and draws nothing; the leader stamped what it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast_metanode.commands import (
    bootstrap_cluster,
    create_space,
    create_tenant,
    delete_space,
    delete_tenant,
    drain_node,
    forget_member,
    join_node,
    moves_done,
    raise_level,
    register_member,
    remove_node,
    revoke_old_keys,
    rotate_key,
    set_node_state,
    set_placement,
    set_signing_key,
    set_weight,
    split_groups,
    undrain_node,
)
from holdfast_metanode.state import levels
from holdfast_metanode.state.change import Change
from holdfast_proto import command_pb2 as records

OPERATIONS: dict[str, Callable[[Change, Any], records.Result]] = {
    "bootstrap_cluster": bootstrap_cluster.apply,
    "create_tenant": create_tenant.apply,
    "delete_tenant": delete_tenant.apply,
    "rotate_key": rotate_key.apply,
    "revoke_old_keys": revoke_old_keys.apply,
    "create_space": create_space.apply,
    "delete_space": delete_space.apply,
    "join_node": join_node.apply,
    "set_node_state": set_node_state.apply,
    "drain_node": drain_node.apply,
    "undrain_node": undrain_node.apply,
    "remove_node": remove_node.apply,
    "set_weight": set_weight.apply,
    "set_placement": set_placement.apply,
    "moves_done": moves_done.apply,
    "split_groups": split_groups.apply,
    "raise_level": raise_level.apply,
    "set_signing_key": set_signing_key.apply,
    "register_member": register_member.apply,
    "forget_member": forget_member.apply,
}
"""By the name of the field of `Command.operation`."""

_LEVEL_OF = dict.fromkeys(OPERATIONS, 1) | {"undrain_node": levels.HANDOVER}


def level_of(command: records.Command) -> int:
    """Cluster level from which on a command may be logged: every member understands it then."""
    operation = command.WhichOneof("operation")
    assert operation is not None, "a command has an operation"
    if operation == "create_space" and command.create_space.redundancy.startswith("ec:"):
        return levels.SHARDS
    return _LEVEL_OF[operation]
