"""The cluster map: which data nodes there are, and which of them own each placement group.

Written through Raft, cached by everyone; a value that never changes, a newer one has a higher
epoch. `holdfast_kvstore.map_codec` draws and reads its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from holdfast_kvstore.errors import InvalidArgument, NotFound
from holdfast_kvstore.policies import LIMITS

Int32Array = npt.NDArray[np.int32]
HOLE = -1
"""Stands in `owners` and `previous` where there is no node."""
CLUSTER_ID_BYTES = 16
_UINT64_MAX = 2**64 - 1
_UINT32_MAX = 2**32 - 1


class NodeState(IntEnum):
    """What the cluster thinks of a data node."""

    UP = 1
    """Heartbeats arrive; it is asked."""
    DOWN = 2
    """Silent for some seconds: not asked, keeps its groups, so that a pause moves nothing."""
    OUT = 3
    """Silent for minutes: owns nothing, its groups were remapped."""
    DRAINING = 4
    """Leaves: owns nothing, is asked as a previous owner until its blocks have moved."""


@dataclass(frozen=True, slots=True)
class Node:
    """One data node as everyone knows it. Raises InvalidArgument for a field outside its range."""

    id: int
    """Given at its first join, never used again. 1 to 2**64 - 1."""
    incarnation: int
    """New whenever its memory started empty. 0 to 2**64 - 1."""
    tcp_address: str
    """`host:port` of the block protocol."""
    unix_path: str = ""
    """Socket of the block protocol for processes of its host; empty: none."""
    boot_id: str = ""
    """Names the boot of its host: equal ids share memory."""
    host: str = ""
    """Failure domain; nodes without label are hosts of their own."""
    rack: str = ""
    """Failure domain over hosts; hosts without label share one rack."""
    weight: int = 1
    """Share of the groups, relative to the other nodes' weights; 0 owns nothing."""
    capacity_bytes: int = 0
    """Bytes of its arena."""
    state: NodeState = NodeState.UP

    def __post_init__(self) -> None:
        for what, value, least, most in (
            ("id", self.id, 1, _UINT64_MAX),
            ("incarnation", self.incarnation, 0, _UINT64_MAX),
            ("weight", self.weight, 0, _UINT32_MAX),
            ("capacity_bytes", self.capacity_bytes, 0, _UINT64_MAX),
        ):
            if not least <= value <= most:
                raise InvalidArgument(f"node's {what} is {value}, it must be {least} to {most}")
        for what, text in (
            ("tcp_address", self.tcp_address),
            ("unix_path", self.unix_path),
            ("boot_id", self.boot_id),
            ("host", self.host),
            ("rack", self.rack),
        ):
            found = len(text.encode("utf-8", "surrogatepass"))
            if found > LIMITS.label_bytes_max:
                raise InvalidArgument(
                    f"{what} of node {self.id} has {found} bytes, "
                    f"{LIMITS.label_bytes_max} are possible"
                )

    @property
    def owns(self) -> bool:
        """Whether placement gives it groups."""
        return self.weight > 0 and self.state in (NodeState.UP, NodeState.DOWN)

    @property
    def may_hold(self) -> bool:
        """Whether it can still hold blocks that others may fetch."""
        return self.state is not NodeState.OUT


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the nodes of a map hold together."""

    nodes_by_state: dict[NodeState, int]
    capacity_bytes: int
    """Of the nodes that own groups."""
    usable_bytes: int
    """Of those that are up."""


@dataclass(frozen=True, eq=False)
class ClusterMap:
    """One epoch of the cluster's layout. Raises InvalidArgument if its parts do not fit together.

    Rows of `owners` and `previous` belong to groups; a group's first owner keeps the blocks of
    `single` spaces, its first n owners those of `mirror:n`, and each of its first k + m owners one
    chunk of those of `ec:k+m`. `previous` names nodes that may still hold blocks which their owners
    lack; it is asked before a block counts as missing.
    """

    cluster_id: bytes
    """16 bytes, drawn when the cluster was created."""
    epoch: int
    """Counts up with every change. 1 to 2**64 - 1."""
    nodes: tuple[Node, ...]
    """Sorted by id."""
    owners: Int32Array
    """int32[group_count, width]: indices into `nodes`, -1 where there are too few nodes."""
    previous: Int32Array
    """int32[group_count, width]: indices into `nodes`, -1 for none; all -1 when nothing moves."""
    level: int = 1
    """Cluster level: the newest form of commands and stored data that every member understands."""
    ticket_keys: tuple[bytes, ...] = ()
    """Ed25519 public keys (32 bytes each) with which tickets of this cluster are signed."""

    def __post_init__(self) -> None:
        for name in ("owners", "previous"):
            table = np.array(getattr(self, name), dtype=np.int32, order="C")
            table.flags.writeable = False
            object.__setattr__(self, name, table)
        self._check()

    def _check(self) -> None:
        if len(self.cluster_id) != CLUSTER_ID_BYTES:
            raise InvalidArgument(f"cluster id has {len(self.cluster_id)} bytes, it must have 16")
        if not 1 <= self.epoch <= _UINT64_MAX or not 0 <= self.level <= _UINT32_MAX:
            raise InvalidArgument(f"epoch {self.epoch} or level {self.level} is out of range")
        if len(self.nodes) > LIMITS.nodes_max:
            raise InvalidArgument(f"{len(self.nodes)} nodes, {LIMITS.nodes_max} are possible")
        ids = [node.id for node in self.nodes]
        if any(first >= second for first, second in pairwise(ids)):
            raise InvalidArgument("nodes of a cluster map must be sorted by id, each id once")
        if any(len(key) != 32 for key in self.ticket_keys):
            raise InvalidArgument("a ticket key must have 32 bytes")
        if self.owners.ndim != 2 or self.owners.shape != self.previous.shape:
            raise InvalidArgument(
                f"owners {self.owners.shape} and previous {self.previous.shape} must both be "
                "[group_count, width]"
            )
        groups, width = self.owners.shape
        if not 1 <= groups <= LIMITS.groups_max or not 1 <= width <= LIMITS.owners_max:
            raise InvalidArgument(
                f"{groups} groups of width {width}: 1 to {LIMITS.groups_max} groups of width 1 "
                f"to {LIMITS.owners_max} are possible"
            )
        for name, table in (("owners", self.owners), ("previous", self.previous)):
            if table.min() < HOLE or table.max() >= len(self.nodes):
                raise InvalidArgument(f"{name} names a node outside of 0 to {len(self.nodes) - 1}")

    @property
    def group_count(self) -> int:
        """Number of placement groups."""
        return int(self.owners.shape[0])

    @property
    def width(self) -> int:
        """Owners of a group at most."""
        return int(self.owners.shape[1])

    @cached_property
    def _slots(self) -> dict[int, int]:
        return {node.id: slot for slot, node in enumerate(self.nodes)}

    def slot_of(self, node_id: int) -> int:
        """Index of a node in `nodes`; raises NotFound."""
        slot = self._slots.get(node_id)
        if slot is None:
            raise NotFound(f"node {node_id} is not in the cluster map of epoch {self.epoch}")
        return slot

    def node(self, node_id: int) -> Node:
        """The node of this id; raises NotFound."""
        return self.nodes[self.slot_of(node_id)]

    def _row(self, table: Int32Array, group: int) -> list[Node]:
        if not 0 <= group < self.group_count:
            raise InvalidArgument(f"group is {group}, it must be 0 to {self.group_count - 1}")
        return [self.nodes[slot] for slot in table[group].tolist() if slot != HOLE]

    def owners_of(self, group: int) -> list[Node]:
        """A group's owners, first owner first; fewer than `width` in a small cluster."""
        return self._row(self.owners, group)

    def previous_of(self, group: int) -> list[Node]:
        """Nodes that may still hold blocks of a group, in the order to ask them."""
        return self._row(self.previous, group)

    def groups_of(self, node_id: int, copies: int | None = None) -> npt.NDArray[np.int64]:
        """int64[n]: groups whose first `copies` owners (None: all) include the node; sorted."""
        mine = self.owners[:, :copies] == self.slot_of(node_id)
        return np.flatnonzero(mine.any(axis=1)).astype(np.int64)

    def groups_left_on(self, node_id: int) -> npt.NDArray[np.int64]:
        """int64[n]: groups that name the node as previous owner; sorted."""
        mine = self.previous == self.slot_of(node_id)
        return np.flatnonzero(mine.any(axis=1)).astype(np.int64)

    def is_owner(self, node_id: int, group: int, copies: int | None = None) -> bool:
        """Whether the node is among the first `copies` owners (None: all) of a group."""
        return node_id in [node.id for node in self.owners_of(group)[:copies]]

    @property
    def moving_groups(self) -> int:
        """Groups that still name previous owners."""
        return int((self.previous != HOLE).any(axis=1).sum())

    def loads(self) -> npt.NDArray[np.int64]:
        """int64[width, nodes]: entry [w, n] counts groups with node n among the first w + 1."""
        columns = [
            np.bincount(column[column != HOLE], minlength=len(self.nodes))
            for column in self.owners.T
        ]
        return np.cumsum(np.array(columns, dtype=np.int64), axis=0)

    def capacity(self) -> Capacity:
        """What its nodes hold together."""
        return Capacity(
            nodes_by_state={
                state: sum(node.state is state for node in self.nodes) for state in NodeState
            },
            capacity_bytes=sum(node.capacity_bytes for node in self.nodes if node.owns),
            usable_bytes=sum(
                node.capacity_bytes for node in self.nodes if node.state is NodeState.UP
            ),
        )

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, ClusterMap):
            return NotImplemented
        return (
            self.cluster_id == other.cluster_id
            and self.epoch == other.epoch
            and self.level == other.level
            and self.nodes == other.nodes
            and self.ticket_keys == other.ticket_keys
            and np.array_equal(self.owners, other.owners)
            and np.array_equal(self.previous, other.previous)
        )

    def __hash__(self) -> int:
        return hash((self.cluster_id, self.epoch))
