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
from holdfast_kvstore.spaces import Redundancy
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
        self._copies_max = 0
        self._duties: Duties | None = None
        self._spaces: dict[int, SpaceTerms] = {}
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

    def wait_applied(self, timeout_s: float) -> bool:
        """Waits for the first view; False when the time is over."""
        return self._applied.wait(timeout_s)

    def apply(self, view: meta_pb2.NodeView) -> None:
        """Takes over a view unless a newer one was applied. Raises HoldfastError for a bad map."""
        with self._lock:
            if self._version and view.version <= self._version:
                return
            spaces = {info.number: _terms(info) for info in view.spaces}
            duties = self._next_duties(view, spaces)
            self._serving.set_ticket_keys([(k.key_id, k.public_key) for k in view.ticket_keys])
            if duties is not None and duties is not self._duties:
                self._left_behind.drop_returning(duties)
            if duties is not None and duties.epoch != self.epoch:
                self._serving.set_route(duties.epoch, duties.group_count, duties.owned)
            self._apply_spaces(spaces, view.space_last)
            self._apply_limits(view)
            self._duties = duties
            self._version = view.version
        self._applied.set()
        for listener in self._listeners:
            listener()

    def _next_duties(
        self, view: meta_pb2.NodeView, spaces: Mapping[int, SpaceTerms | None]
    ) -> Duties | None:
        if view.map and view.epoch > self.epoch:
            self._map = decode_map(view.map)
        elif _copies_max(spaces) == self._copies_max:
            return self._duties
        if self._map is None:
            return None
        self._copies_max = _copies_max(spaces)
        duties = duties_of(self._node, self._map, self._copies_max)
        _log.info(
            "map",
            epoch=duties.epoch,
            groups_in_all=duties.group_count,
            groups=duties.groups_first,
            copies=sum(byte.bit_count() for byte in duties.owned) - duties.groups_first,
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


def _terms(info: meta_pb2.SpaceInfo) -> SpaceTerms | None:
    try:
        copies = Redundancy.parse(info.redundancy).copies
    except InvalidArgument as error:
        # Of a newer version: served as the tickets say, but not taken over from other nodes.
        _log.warning("space of unknown redundancy", space=info.number, error=error.message)
        return None
    return info.tenant_number, info.block_bytes, info.ttl_s, info.priority, copies


def _copies_max(spaces: Mapping[int, SpaceTerms | None]) -> int:
    copies = [terms[4] if terms is not None else LIMITS.copies_max for terms in spaces.values()]
    return max(copies, default=1)
