"""Pairs of groups that change their owners together, so that every load stays and less moves.

What one group's new row takes from a node's load, in each prefix, the other's gives back. The
corrections before this look at one prefix at a time; where failure domains are tight, the owners
that suited a wide prefix leave a narrow one no cheap order. A pair sees all prefixes at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from math import factorial

import numpy as np

from holdfast_kvstore.cluster_map import HOLE, Int32Array
from holdfast_kvstore.placement._domains import BoolArray, Domains, Int64Array
from holdfast_kvstore.placement._table import Table, place_loads, was_among

WORTH = 1.02
"""Movement over the least that the goals allow, in any prefix, from which trades are looked for."""
OFFERS_MAX = 4_000_000
"""Rows by the ways to change one. Larger clusters go without: their domains leave more choice."""
ROUNDS_MAX = 64


@dataclass(frozen=True, slots=True)
class _Offers:
    """Rows that groups could have instead, in the order of their effects and then of their costs.

    The effect on all loads is one number, so that two that cancel out add up to 0: each node and
    place has a random number of 64 bits, and a row's is the sum of its nodes' (modulo 2**64).
    """

    effects: Int64Array
    costs: Int64Array
    """Owners more that are new, in all prefixes together."""
    groups: Int64Array
    rows: Int32Array


def trade(table: Table) -> None:
    """Changes rows in pairs for as long as that makes fewer owners new; loads stay as they are."""
    if table.before is None or not _is_worth_it(table, table.before):
        return
    width = table.domains.width
    if len(table.rows) * table.domains.node_count * width * factorial(width) > OFFERS_MAX:
        return
    for _ in range(ROUNDS_MAX):
        if not _settle(table, _offers(table, table.before)):
            return


def _is_worth_it(table: Table, before: Int32Array) -> bool:
    """Whether a prefix moves more than its nodes' growth."""
    had = np.cumsum(place_loads(table.domains, before), axis=0)
    least = np.maximum(table.goals - had, 0).sum(axis=1)
    moved = [int(_new(before, table.rows, prefix).sum()) for prefix in range(table.domains.width)]
    return bool((np.array(moved) > least * WORTH + 1).any())


def _new(before: Int32Array, rows: Int32Array, prefix: int) -> Int64Array:
    """int64[groups]: owners of the first prefix + 1 that were none of them."""
    head = rows[:, : prefix + 1]
    new: Int64Array = (~was_among(before[:, : prefix + 1], head) & (head != HOLE)).sum(axis=1)
    return new


def _moved(before: Int32Array, rows: Int32Array) -> Int64Array:
    """int64[groups]: new owners, in all prefixes together."""
    moved: Int64Array = np.sum([_new(before, rows, each) for each in range(rows.shape[1])], axis=0)
    return moved


def _offers(table: Table, before: Int32Array) -> _Offers:
    whole = np.flatnonzero((table.rows != HOLE).all(axis=1))
    rows, before = table.rows[whole], before[whole]
    moved = _moved(before, rows)
    shape = (table.domains.width, table.domains.node_count)
    random = np.random.default_rng(shape[1])
    numbers = random.integers(-(2**63), 2**63, shape, dtype=np.int64)
    present = _effect(numbers, rows)
    effects, costs, groups, others = [], [], [], []
    for other, able in _others(table.domains, rows):
        found = other[able]
        effects.append(_effect(numbers, found) - present[able])
        costs.append(_moved(before[able], found) - moved[able])
        groups.append(whole[able])
        others.append(found)
    effect, cost = np.concatenate(effects), np.concatenate(costs)
    order = np.lexsort((cost, effect))
    return _Offers(
        effect[order], cost[order], np.concatenate(groups)[order], np.concatenate(others)[order]
    )


def _effect(numbers: Int64Array, rows: Int32Array) -> Int64Array:
    """int64[groups]: sums that wrap around."""
    effect: Int64Array = np.sum(
        [numbers[place, rows[:, place]] for place in range(rows.shape[1])], axis=0, dtype=np.int64
    )
    return effect


def _others(domains: Domains, rows: Int32Array) -> Iterator[tuple[Int32Array, BoolArray]]:
    """All rows with one owner replaced or none, in every order, and where they are valid."""
    identity = tuple(range(domains.width))
    for order in permutations(identity):
        ordered = rows[:, list(order)]
        reordered = order != identity
        if reordered:
            yield ordered, _are_valid(domains, ordered)
        for place in range(domains.width):
            for node in range(domains.node_count):
                able = ~(ordered == node).any(axis=1)
                able &= ~domains.conflicts(ordered, place, np.array(node))
                other = ordered.copy()
                other[:, place] = node
                if reordered and domains.order_matters:
                    able &= _are_valid(domains, other)
                yield other, able


def _are_valid(domains: Domains, rows: Int32Array) -> BoolArray:
    """bool[groups]: which rows without holes are valid."""
    valid = np.ones(len(rows), dtype=np.bool_)
    for place in range(1, rows.shape[1]):
        head = rows[:, : place + 1]
        valid &= ~domains.conflicts(head, place, head[:, place].astype(np.int64))
    return valid


def _settle(table: Table, offers: _Offers) -> int:
    """Takes offers that together cost less than nothing, each group once; returns how many."""
    effects, first = np.unique(offers.effects, return_index=True)
    behind = np.append(first[1:], len(offers.effects))
    partner = np.minimum(np.searchsorted(effects, -effects), len(effects) - 1)
    gain = offers.costs[first] + offers.costs[first[partner]]
    matched = np.flatnonzero((effects[partner] == -effects) & (effects <= 0) & (gain < 0))
    used = np.zeros(len(table.rows), dtype=np.bool_)
    taken: list[int] = []
    for one in matched[np.argsort(gain[matched], kind="stable")].tolist():
        other = int(partner[one])
        ways = [iter(range(first[each], behind[each])) for each in (one, other)]
        while pair := _cheapest_pair(offers, ways if one != other else ways[:1], used):
            taken += pair
            used[offers.groups[pair]] = True
    table.put_rows(offers.groups[taken], offers.rows[taken])
    return len(taken)


def _cheapest_pair(offers: _Offers, ways: list[Iterator[int]], used: BoolArray) -> list[int]:
    """The next offer of each way, of groups not used; empty when that saves nothing."""
    chosen: list[int] = []
    for way in ways:
        mine = [int(offers.groups[each]) for each in chosen]
        step = next(
            (at for at in way if not used[offers.groups[at]] and offers.groups[at] not in mine),
            None,
        )
        if step is None:
            return []
        chosen.append(step)
    return chosen if offers.costs[chosen].sum() < 0 else []
