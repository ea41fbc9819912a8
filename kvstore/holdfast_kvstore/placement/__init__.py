"""Which nodes own which placement groups.

Weighted rendezvous over failure domains gives every group an order of preference; a deterministic
correction then moves as few groups as bring each node's load to its share. Owners of one group
lie in distinct racks while there are as many, then on distinct hosts, then on distinct nodes.
Given the present table, a change moves little more than it must. Pure, and the same inputs give
the same table; docs/decisions/0006-placement.md has the reasons and the figures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from holdfast_kvstore.cluster_map import HOLE, Int32Array, Node
from holdfast_kvstore.errors import InvalidArgument
from holdfast_kvstore.placement._behind import Behind
from holdfast_kvstore.placement._chains import Moves
from holdfast_kvstore.placement._domains import Domains, Int64Array
from holdfast_kvstore.placement._holes import drop_invalid, fill_holes
from holdfast_kvstore.placement._insert import insert_needy
from holdfast_kvstore.placement._order import balance_order
from holdfast_kvstore.placement._scores import draw
from holdfast_kvstore.placement._sets import balance_sets
from holdfast_kvstore.placement._shares import FloatArray, group_shares, whole_goals
from holdfast_kvstore.placement._table import Table, place_loads
from holdfast_kvstore.placement._trades import trade
from holdfast_kvstore.placement._wide import widen
from holdfast_kvstore.policies import LIMITS

__all__ = ["imbalance", "loads", "movement", "place", "shares", "split"]


def place(
    nodes: Sequence[Node], group_count: int, width: int, current: Int32Array | None = None
) -> Int32Array:
    """int32[group_count, width]: owners of each group as indices into `nodes`, -1 for none.

    Nodes that are OUT or DRAINING or weigh nothing own nothing; DOWN nodes keep their groups.
    `current` is the present table in the same indices, -1 for nodes that are gone; None places
    anew. Raises InvalidArgument for a size outside of the limits or an index outside of `nodes`.
    """
    _check(nodes, group_count, width, current)
    owners = np.full((group_count, width), HOLE, dtype=np.int32)
    domains = Domains.of(nodes, min(width, LIMITS.copies_max))
    if domains.node_count == 0:
        return owners
    wide = Domains.of(nodes, width)
    before = None if current is None else _kept(wide, nodes, current)
    is_wide = wide.width > domains.width
    behind = Behind(wide, before, domains.width) if is_wide and before is not None else None
    rows = _place_copies(domains, group_count, before, behind)
    if is_wide:
        rows = widen(wide, rows, before)
    owners[:, : wide.width] = np.where(rows == HOLE, HOLE, wide.slots[rows])
    return owners


def _place_copies(
    domains: Domains, group_count: int, table_before: Int32Array | None, behind: Behind | None
) -> Int32Array:
    """The first places, whose order and every prefix mean something: whole copies lie there."""
    before = None if table_before is None else table_before[:, : domains.width]
    rows = draw(domains, group_count) if before is None else before.copy()
    drop_invalid(domains, rows)
    loads_now = np.cumsum(place_loads(domains, rows), axis=0)
    goals = whole_goals(domains, group_shares(domains, group_count), loads_now)
    table = Table(domains, rows, before, goals, behind)
    fill_holes(table)
    _balance(table)
    balance_order(table)
    trade(table)
    return table.rows


def _balance(table: Table) -> None:
    """From what moves least to what moves most; each step leaves what it cannot do to the next."""
    if table.before is not None:
        narrow = table.slack
        narrow[-1] = 0
        balance_sets(table, Moves.OF_NEW_OWNERS)
        insert_needy(table, np.zeros_like(narrow))
        insert_needy(table, narrow)
        balance_sets(table, Moves.OF_LAST_PLACE)
        insert_needy(table, table.slack)
    balance_sets(table, Moves.ANY)


def _check(nodes: Sequence[Node], group_count: int, width: int, current: Int32Array | None) -> None:
    if not 1 <= group_count <= LIMITS.groups_max or not 1 <= width <= LIMITS.owners_max:
        raise InvalidArgument(
            f"{group_count} groups of width {width}: 1 to {LIMITS.groups_max} groups of width 1 "
            f"to {LIMITS.owners_max} are possible"
        )
    if len({node.id for node in nodes}) != len(nodes):
        raise InvalidArgument("two nodes have the same id")
    if current is None:
        return
    if current.ndim != 2 or len(current) != group_count:
        raise InvalidArgument(f"current is {current.shape}, it must be [{group_count}, width]")
    if current.size and (current.min() < HOLE or current.max() >= len(nodes)):
        raise InvalidArgument(f"current names a node outside of 0 to {len(nodes) - 1}")


def _kept(domains: Domains, nodes: Sequence[Node], current: Int32Array) -> Int32Array:
    """The present table in the domains' indices, with holes for nodes that own nothing now."""
    index_of = np.full(len(nodes) + 1, HOLE, dtype=np.int32)
    index_of[domains.slots] = np.arange(domains.node_count, dtype=np.int32)
    rows = np.full((len(current), domains.width), HOLE, dtype=np.int32)
    shared = min(domains.width, current.shape[1])
    rows[:, :shared] = index_of[current[:, :shared]]
    return rows


def split(owners: Int32Array, factor: int) -> Int32Array:
    """The table for `factor` times as many groups: every block keeps its owners.

    Raises InvalidArgument for a factor below 1 or too many groups.
    """
    group_count, width = owners.shape
    most = min(LIMITS.groups_max, LIMITS.places_max // width)
    if factor < 1 or group_count * factor > most:
        raise InvalidArgument(
            f"{group_count} groups of {width} places cannot be split by {factor}: {most} are "
            "possible"
        )
    return np.repeat(owners, factor, axis=0)


def movement(before: Int32Array, after: Int32Array) -> Int64Array:
    """int64[width]: entry w counts nodes newly among the first w + 1 owners of a group.

    Both tables have the same shape and their indices mean the same nodes.
    """
    new = np.zeros(after.shape[1], dtype=np.int64)
    for width in range(1, after.shape[1] + 1):
        head = before[:, :width]
        for column in after[:, :width].T:
            new[width - 1] += int(((column != HOLE) & ~(head == column[:, None]).any(axis=1)).sum())
    return new


def loads(owners: Int32Array, node_count: int) -> Int64Array:
    """int64[width, nodes]: entry [w, n] counts groups with node n among the first w + 1."""
    columns = [np.bincount(column[column != HOLE], minlength=node_count) for column in owners.T]
    return np.cumsum(np.array(columns, dtype=np.int64), axis=0)


def shares(nodes: Sequence[Node], group_count: int, width: int) -> FloatArray:
    """float64[width, nodes]: the loads that weights ask for, as far as failure domains permit."""
    found = np.zeros((width, len(nodes)))
    domains = Domains.of(nodes, width)
    if domains.node_count:
        found[: domains.width, domains.slots] = group_shares(domains, group_count)
        found[domains.width :] = found[domains.width - 1]
    return found


def imbalance(nodes: Sequence[Node], owners: Int32Array) -> FloatArray:
    """float64[width]: the largest deviation of a node's load from its share, beyond one group.

    As a fraction of the share: 0.05 means that some node is 5 % and one group off.
    """
    ideal = shares(nodes, *owners.shape)
    off = np.maximum(np.abs(loads(owners, len(nodes)) - ideal) - 1, 0)
    worst: FloatArray = (off / np.maximum(ideal, 1)).max(axis=1, initial=0)
    return worst
