"""One process's live half of a cluster object: native client, metadata calls, background thread."""

from __future__ import annotations

import contextlib
import os
import uuid
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Literal

import holdfast_native
from holdfast._completions import Completions
from holdfast._credentials import TenantCredential
from holdfast._limits import Limits, Timeouts
from holdfast._map_watch import MapWatch
from holdfast._metadata import MetadataClient
from holdfast._metadata_methods import AUTHENTICATE, GET_MAP, OPEN_SPACE
from holdfast._native_errors import translated
from holdfast._space_binding import SpaceBinding
from holdfast._survival import Survival
from holdfast._tls import Tls
from holdfast.errors import Closed, ForkedError, HoldfastError, InvalidArgument, NotFound
from holdfast_kvstore.cluster_map import HOLE, ClusterMap, NodeState
from holdfast_kvstore.errors import from_wire, to_wire
from holdfast_kvstore.map_codec import decode_map
from holdfast_proto import meta_pb2 as pb

Transport = Literal["auto", "tcp", "shm"]
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_REFUSED = "refused"
"""Reason that stands for a space or ticket that is no longer what this client thinks."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to connect to, as whom, and how."""

    addresses: tuple[str, ...]
    credential: TenantCredential
    tls: Tls | None
    timeouts: Timeouts
    limits: Limits
    transport: Transport
    lanes: int
    spin_us: int


class Session:
    """Made at the first use of a cluster object; every part of it belongs to this process.

    Cluster object, spaces and calls under way hold it; when the last of them is gone without a
    `close`, the background thread closes everything.
    """

    def __init__(self, target: Target) -> None:
        """Authenticates and reads the map. Raises Unauthenticated, Unavailable,
        DeadlineExceeded."""
        self.timeouts = target.timeouts
        self.metadata = MetadataClient(target.addresses, target.credential, target.tls)
        self._process = os.getpid()
        self._lock = Lock()
        self._bindings: dict[int, SpaceBinding] = {}
        self._map_places = 0
        self._closed = False
        self._failure: HoldfastError | None = None
        try:
            who = self.metadata.call(AUTHENTICATE, pb.AuthenticateRequest(), self._metadata_s)
            self.metadata.members.learn(who.member_addresses)
            self.cluster_id = who.cluster_id
            self.tenant_number = who.tenant_number
            self.native = self._native_client(target)
            self.native.set_tenant_ticket(who.ticket.bytes)
            self.install_map(self.metadata.call(GET_MAP, pb.MapRequest(), self._metadata_s))
        except holdfast_native.NativeError as error:
            self.metadata.close()
            raise translated(error) from error
        except ValueError as error:
            self.metadata.close()
            raise InvalidArgument(str(error)) from error
        except BaseException:
            self.metadata.close()
            raise
        self.completions = Completions(self.native)
        self.watch = MapWatch(self, who.ticket.lifetime_ms / 1000)
        self.watch.start()
        self._finalizer = weakref.finalize(self, self.watch.abandon)
        self._finalizer.atexit = False  # `_cluster` closes those that live until then

    @property
    def _metadata_s(self) -> float:
        return self.timeouts.metadata_s

    def _native_client(self, target: Target) -> holdfast_native.Client:
        return holdfast_native.Client(
            cluster=self.cluster_id,
            client=uuid.uuid4().bytes,
            lanes=target.lanes,
            spin_us=target.spin_us,
            operations_max=target.limits.operations_max,
            bytes_in_flight_max=target.limits.bytes_in_flight_max,
            connect_timeout_ms=max(1, int(target.timeouts.connect_s * 1000)),
            retry_backoff_ms_min=target.limits.retry_backoff_ms_min,
            retry_backoff_ms_max=target.limits.retry_backoff_ms_max,
            boot_id=_BOOT_ID.read_text().strip() if _BOOT_ID.exists() else "",
            transport=target.transport,
        )

    def check_usable(self) -> None:
        """Raises ForkedError in a child process, Closed after `close`, and Unauthenticated once
        the cluster no longer knows tenant or key."""
        if os.getpid() != self._process:
            raise ForkedError(
                f"this cluster object was used by process {self._process}, this is its child "
                f"{os.getpid()}: call holdfast.connect in the child"
            )
        if self._closed:
            raise Closed("this cluster object is closed: connect again")
        if self._failure is not None:
            raise from_wire(*to_wire(self._failure))

    def open_space(self, request: pb.OpenSpaceRequest) -> SpaceBinding:
        """Opens a space at the metadata cluster and makes it usable in the native client."""
        self.check_usable()
        request.client_id = self.metadata.client_id
        request.sequence = self.metadata.next_sequence()
        reply = self.metadata.call(OPEN_SPACE, request, self._metadata_s)
        survival = Survival.read(reply.survival) if reply.HasField("survival") else None
        with self._lock:
            opened = SpaceBinding(reply.space, survival)
            binding = self._bindings.setdefault(reply.space.number, opened)
        if binding.owners > self._map_places:
            # The rows of the map that is known here are older than the space, and too short.
            self.install_map(self.metadata.call(GET_MAP, pb.MapRequest(), self._metadata_s))
        self._bind(binding, reply.ticket.bytes)
        self.watch.keep_ticket(binding, reply.ticket.lifetime_ms / 1000)
        return binding

    def renew_space(self, binding: SpaceBinding) -> float:
        """A new ticket for an opened space; answers its lifetime, seconds. A space that was
        deleted, or deleted and made anew, fails from now on."""
        request = pb.OpenSpaceRequest(
            client_id=self.metadata.client_id,
            sequence=self.metadata.next_sequence(),
            name=binding.name,
        )
        try:
            reply = self.metadata.call(OPEN_SPACE, request, self._metadata_s)
        except NotFound:
            self._drop(
                binding,
                f"space {binding.name!r} was deleted: open or create it again with Cluster.space",
            )
            raise
        if reply.space.number != binding.number:
            why = (
                f"space {binding.name!r} was deleted and created anew (number {binding.number}, "
                f"now {reply.space.number}): open it again with Cluster.space"
            )
            self._drop(binding, why)
            raise NotFound(why)
        self._bind(binding, reply.ticket.bytes)
        return reply.ticket.lifetime_ms / 1000

    def _drop(self, binding: SpaceBinding, why: str) -> None:
        # For good: a number is never used again.
        with self._lock:
            if self._bindings.get(binding.number) is binding:
                del self._bindings[binding.number]
        binding.failure = NotFound(why)

    def renew_tenant(self) -> float:
        """A new tenant ticket; answers its lifetime, seconds."""
        who = self.metadata.call(AUTHENTICATE, pb.AuthenticateRequest(), self._metadata_s)
        self.metadata.members.learn(who.member_addresses)
        self.native.set_tenant_ticket(who.ticket.bytes)
        return who.ticket.lifetime_ms / 1000

    def fail(self, error: HoldfastError) -> None:
        """Makes every later call raise `error`: tenant or key are no longer known."""
        # A copy: the trace of `error` holds this session.
        self._failure = from_wire(*to_wire(error))

    def _bind(self, binding: SpaceBinding, ticket: bytes) -> None:
        try:
            self.native.bind_space(
                tenant=self.tenant_number,
                space=binding.number,
                block_bytes=binding.block_bytes,
                copies=binding.owners,
                ticket=ticket,
                data=binding.redundancy.data,
                parity=binding.redundancy.parity,
            )
        except holdfast_native.NativeError as error:  # closed at this moment
            raise translated(error) from error

    def install_map(self, reply: pb.MapReply) -> None:
        """Gives the native client a newer map; an answer without one is no news."""
        if not reply.map:
            return
        value = decode_map(reply.map)
        self.native.set_map(
            epoch=value.epoch,
            group_count=value.group_count,
            width=value.width,
            owners=value.owners.data,
            previous=value.previous.data,
            nodes=_native_nodes(value),
        )
        self._map_places = int((value.owners != HOLE).sum(axis=1).max())

    def observe(self, reasons: Mapping[str, int]) -> None:
        """Looks at the outcome of a call: what it tells about map and tickets."""
        if not reasons or self._closed:
            return
        with contextlib.suppress(holdfast_native.NativeError):  # closed at this moment
            if self.native.stale:
                self.watch.refresh_map()
        if _REFUSED in reasons:
            self.watch.refresh_tickets()

    def close(self, deadline_s: float) -> None:
        """Ends calls under way, the background thread and every connection."""
        if os.getpid() != self._process or self._closed:
            self._closed = True
            return
        self._closed = True
        self._finalizer.detach()
        self.watch.stop()
        self.metadata.close()
        try:
            self.native.close(int(deadline_s * 1000))
        except holdfast_native.NativeError as error:
            raise translated(error) from error
        finally:
            self.completions.close()
            self.watch.join(deadline_s)


def _native_nodes(value: ClusterMap) -> list[tuple[int, int, str, str, str, bool]]:
    asked = (NodeState.UP, NodeState.DRAINING)
    return [
        (
            node.id,
            node.incarnation,
            node.tcp_address,
            node.unix_path,
            node.boot_id,
            node.state in asked,
        )
        for node in value.nodes
    ]
