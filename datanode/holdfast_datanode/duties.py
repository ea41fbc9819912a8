"""What one cluster map asks of one node: which groups to serve, keep and take over. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from holdfast_datanode.succession import predecessor
from holdfast_kvstore.cluster_map import HOLE, ClusterMap, Node, NodeState
from holdfast_kvstore.policies import LIMITS


def bitmap(groups: npt.NDArray[np.bool_]) -> bytes:
    """bool[group_count] as the native node wants it: bit g of byte g // 8."""
    return np.packbits(groups, bitorder="little").tobytes()


@dataclass(frozen=True, slots=True)
class Source:
    """Where blocks of some groups come from, and in which place this node owns those groups."""

    peer: int
    """Id of the previous owner."""
    place: int = 0
    """0: this node is those groups' first owner. It keeps blocks of more copies than its place."""
    owners: int = 0
    """Of blocks that are cut, with so many owners: the peer left the row to this node. 0: of whole
    blocks."""


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


def duties_of(
    node_id: int, map_: ClusterMap, owners_max: int, cut_owners: Collection[int] = ()
) -> Duties:
    """What `map_` asks of the node `node_id` where no space has more owners than `owners_max`.

    `cut_owners`: how many owners the spaces have whose blocks are cut. What an owner holds beyond
    the places of all spaces is asked for by nobody, and not told of deletions.
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
    kept = mine[:, :owners_max].any(axis=1) | (map_.previous == slot).any(axis=1)
    is_out = map_.nodes[slot].state is NodeState.OUT
    pending = np.flatnonzero(owned & (map_.previous != HOLE).any(axis=1)).tolist()
    moves = _moves(map_, slot, pending, mine.argmax(axis=1), cut_owners)
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
    map_: ClusterMap,
    slot: int,
    pending: list[int],
    places: npt.NDArray[np.int64],
    cut_owners: Collection[int],
) -> dict[Source, frozenset[int]]:
    found: dict[Source, set[int]] = {}
    for group in pending:
        place = int(places[group])
        owners, previous = map_.owners[group].tolist(), map_.previous[group].tolist()
        if place < LIMITS.copies_max:
            for peer in previous:
                if peer not in (HOLE, slot):
                    found.setdefault(Source(map_.nodes[peer].id, place), set()).add(group)
        for count in cut_owners:
            if place < count:
                peer = predecessor(slot, owners[:count], previous[:count])
                if peer != HOLE:
                    source = Source(map_.nodes[peer].id, owners=count)
                    found.setdefault(source, set()).add(group)
    return {source: frozenset(groups) for source, groups in found.items()}
