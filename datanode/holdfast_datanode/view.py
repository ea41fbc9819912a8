"""Applies what the metadata cluster says to the native node, and tells the workers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import structlog

from holdfast_datanode.duties import Duties, duties_of
from holdfast_datanode.left_behind import LeftBehind
from holdfast_datanode.native_node import Serving, SpaceTerms
from holdfast_kvstore.cluster_map import ClusterMap
from holdfast_kvstore.errors import InvalidArgument
from holdfast_kvstore.map_codec import decode_map
from holdfast_kvstore.policies import LIMITS
from holdfast_kvstore.redundancy import Redundancy
from holdfast_proto import meta_pb2

_log = structlog.get_logger(__name__)
_NUMBERS_SKIPPED_MAX = 4_096


class View:
    """What this node knows of its cluster. One thread applies; any thread reads."""

    def __init__(self, node: int, serving: Serving) -> None:
        self._node = node
        self._serving = serving
        self._left_behind = LeftBehind(serving)
        self._lock = threading.Lock()
        self._applied = threading.Event()
        self._version = 0
        self._map: ClusterMap | None = None
        self._owners_max = 0
        self._places: tuple[int, frozenset[int]] | None = None
        self._duties: Duties | None = None
        self._spaces: dict[int, SpaceTerms] = {}
        self._cut: frozenset[int] = frozenset()
        self._space_numbers: set[int] = set()
        self._space_number_max = 0
        self._limits: dict[int, int] = {}
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """Has `listener` called after each view, in the thread that applied it."""
        self._listeners.append(listener)

    @property
    def version(self) -> int:
        """Of the newest view applied; 0 before the first."""
        return self._version

    @property
    def epoch(self) -> int:
        """Of the map that this node serves by; 0 before the first."""
        duties = self._duties
        return duties.epoch if duties is not None else 0

    @property
    def duties(self) -> Duties | None:
        """What the map asks of this node; None before the first view."""
        return self._duties

    @property
    def spaces(self) -> Mapping[int, SpaceTerms]:
        """Every space that exists, by number. The mapping is replaced, never changed."""
        return self._spaces

    @property
    def cut(self) -> frozenset[int]:
        """Numbers of the spaces whose blocks are cut, so that no two owners hold the same."""
        return self._cut

    def wait_applied(self, timeout_s: float) -> bool:
        """Waits for the first view; False when the time is over."""
        return self._applied.wait(timeout_s)

    def apply(self, view: meta_pb2.NodeView) -> None:
        """Takes over a view unless a newer one was applied. Raises HoldfastError for a bad map."""
        with self._lock:
            if self._version and view.version <= self._version:
                return
            redundancies = {info.number: _redundancy(info) for info in view.spaces}
            spaces = {i.number: _terms(i, redundancies[i.number]) for i in view.spaces}
            duties = self._next_duties(view, redundancies)
            self._serving.set_ticket_keys([(k.key_id, k.public_key) for k in view.ticket_keys])
            if duties is not None and duties is not self._duties:
                self._left_behind.drop_returning(duties)
            if duties is not None and duties.epoch != self.epoch:
                self._serving.set_route(duties.epoch, duties.group_count, duties.owned)
            self._apply_spaces(spaces, view.space_last)
            self._cut = frozenset(n for n, each in redundancies.items() if each and each.is_cut)
            self._apply_limits(view)
            self._duties = duties
            self._version = view.version
        self._applied.set()
        for listener in self._listeners:
            listener()

    def _next_duties(
        self, view: meta_pb2.NodeView, redundancies: Mapping[int, Redundancy | None]
    ) -> Duties | None:
        owners, cut_owners = _places(redundancies)
        # Never fewer than before: the space that had most may be made anew, and what is put into it
        # before its view comes must not be taken for what stayed behind of the one before.
        self._owners_max = max(self._owners_max, owners)
        places = (self._owners_max, cut_owners)
        if view.map and view.epoch > self.epoch:
            self._map = decode_map(view.map)
        elif places == self._places:
            return self._duties
        if self._map is None:
            return None
        self._places = places
        duties = duties_of(self._node, self._map, *places)
        _log.info(
            "map",
            epoch=duties.epoch,
            groups_in_all=duties.group_count,
            groups=duties.groups_first,
            groups_behind=sum(byte.bit_count() for byte in duties.owned) - duties.groups_first,
            groups_to_take=len(duties.pending),
        )
        return duties

    def _apply_spaces(self, spaces: Mapping[int, SpaceTerms | None], last: int) -> None:
        vanished = self._space_numbers - spaces.keys()
        last = max(last, *spaces) if spaces else last
        if self._version and last > self._space_number_max:
            # Made and deleted between two views: its blocks may be here, and nobody names it.
            first = max(self._space_number_max + 1, last - _NUMBERS_SKIPPED_MAX)
            vanished |= {number for number in range(first, last + 1) if number not in spaces}
        for number in sorted(vanished):
            self._serving.drop_space(number)
            _log.info("space dropped", space=number)
        self._spaces = {number: terms for number, terms in spaces.items() if terms is not None}
        self._space_numbers = set(spaces)
        self._space_number_max = max(self._space_number_max, last)

    def _apply_limits(self, view: meta_pb2.NodeView) -> None:
        limits = {tenant.number: tenant.limit_bytes for tenant in view.tenants}
        for number in limits.keys() | self._limits.keys():
            limit_bytes = limits.get(number, 0)
            if limit_bytes != self._limits.get(number, 0):
                self._serving.set_tenant_limit(number, limit_bytes or None)
        self._limits = limits


def _redundancy(info: meta_pb2.SpaceInfo) -> Redundancy | None:
    try:
        return Redundancy.parse(info.redundancy)
    except InvalidArgument as error:
        # Of a newer version: served as the tickets say, but not taken over from other nodes.
        _log.warning("space of unknown redundancy", space=info.number, error=error.message)
        return None


def _terms(info: meta_pb2.SpaceInfo, redundancy: Redundancy | None) -> SpaceTerms | None:
    if redundancy is None:
        return None
    stored_bytes = redundancy.chunk_bytes(info.block_bytes)
    return info.tenant_number, stored_bytes, info.ttl_s, info.priority, redundancy.owners


def _places(redundancies: Mapping[int, Redundancy | None]) -> tuple[int, frozenset[int]]:
    """The most owners that a space has, and how many those have whose blocks are cut."""
    known = {each for each in redundancies.values() if each is not None}
    owners = [each.owners for each in known]
    if None in redundancies.values():
        owners.append(LIMITS.owners_max)
    return max(owners, default=1), frozenset(each.owners for each in known if each.is_cut)
