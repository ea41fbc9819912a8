"""What one cluster map asks of one node: which groups to serve, keep and take over. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from holdfast_kvstore.cluster_map import HOLE, ClusterMap, Node, NodeState


def bitmap(groups: npt.NDArray[np.bool_]) -> bytes:
    """bool[group_count] as the native node wants it: bit g of byte g // 8."""
    return np.packbits(groups, bitorder="little").tobytes()


@dataclass(frozen=True, slots=True)
class Source:
    """Where blocks of some groups come from, and in which place this node owns those groups."""

    peer: int
    """Id of the previous owner."""
    place: int
    """0: this node is those groups' first owner. It keeps blocks of more copies than its place."""


@dataclass(frozen=True)
class Duties:
    """What a map asks of a node that it names (or not: then nothing is owned and all is kept)."""

    epoch: int
    group_count: int
    owned: bytes
    """Bitmaps of groups that this node owns, one for each place, the first place first."""
    kept: bytes | None
    """Bitmap of groups whose blocks it may hold; None: drop nothing now."""
    pending: frozenset[int] = frozenset()
    """Groups that this node owns and whose previous owners are not empty yet."""
    moves: dict[Source, frozenset[int]] = field(default_factory=dict)
    """Groups of `pending` by the other node that may still hold them."""
    peers: dict[int, Node] = field(default_factory=dict)
    """The nodes that `moves` names."""
    groups_first: int = 0
    """How many groups it owns first; operators call these its groups."""


def duties_of(node_id: int, map_: ClusterMap, copies_max: int) -> Duties:
    """What `map_` asks of the node `node_id` where no space has more copies than `copies_max`.

    What an owner holds beyond that place is asked for by nobody, and not told of deletions.
    A node that is out keeps what it has: it may be back soon, and what it then owns is not
    fetched again. One that drains keeps a group until it is no longer named as its previous owner.
    """
    slots = {node.id: slot for slot, node in enumerate(map_.nodes)}
    slot = slots.get(node_id)
    if slot is None:
        nothing = bitmap(np.zeros(map_.group_count, dtype=np.bool_))
        return Duties(map_.epoch, map_.group_count, owned=nothing, kept=None)
    mine = map_.owners == slot
    owned = mine.any(axis=1)
    kept = mine[:, :copies_max].any(axis=1) | (map_.previous == slot).any(axis=1)
    is_out = map_.nodes[slot].state is NodeState.OUT
    pending = np.flatnonzero(owned & (map_.previous != HOLE).any(axis=1)).tolist()
    moves = _moves(map_, slot, pending, mine.argmax(axis=1))
    return Duties(
        epoch=map_.epoch,
        group_count=map_.group_count,
        owned=b"".join(bitmap(mine[:, place]) for place in range(mine.shape[1])),
        kept=None if is_out else bitmap(kept),
        pending=frozenset(pending),
        moves=moves,
        peers={source.peer: map_.node(source.peer) for source in moves},
        groups_first=int(mine[:, 0].sum()),
    )


def _moves(
    map_: ClusterMap, slot: int, pending: list[int], places: npt.NDArray[np.int64]
) -> dict[Source, frozenset[int]]:
    found: dict[Source, set[int]] = {}
    for group in pending:
        for previous in map_.previous[group].tolist():
            if previous not in (HOLE, slot):
                source = Source(map_.nodes[previous].id, int(places[group]))
                found.setdefault(source, set()).add(group)
    return {source: frozenset(groups) for source, groups in found.items()}
