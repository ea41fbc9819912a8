"""The object that stands for a cluster, and how to get one."""

from __future__ import annotations

import atexit
import contextlib
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from types import TracebackType

from holdfast._context import known_context
from holdfast._credentials import TenantCredential, load_api_key
from holdfast._limits import Limits, Timeouts, check_deadline, check_integer, check_text
from holdfast._map_watch import join_all
from holdfast._members import Members, split_addresses
from holdfast._metadata_methods import DELETE_SPACE, DESCRIBE_SPACE, LIST_SPACES
from holdfast._session import Session, Target, Transport
from holdfast._space import Space
from holdfast._tls import Tls
from holdfast.errors import Closed, ConfigInvalid, HoldfastError, InvalidArgument
from holdfast_proto import meta_pb2 as pb

_clusters: weakref.WeakSet[Cluster] = weakref.WeakSet()
_sessions: weakref.WeakSet[Session] = weakref.WeakSet()
"""Sessions to be closed at the interpreter's exit: a space can outlive its cluster object."""
_ABANDONED_S = 5.0
"""How long the interpreter's exit waits for threads of cluster objects that nobody closed."""
_TRANSPORTS = ("auto", "tcp", "shm")


def connect(
    address: str | Sequence[str] | None = None,
    *,
    tenant: str | None = None,
    key: str | None = None,
    transport: Transport = "auto",
    lanes: int = 2,
    spin_us: int = 0,
    tls: Tls | None = None,
    timeouts: Timeouts | None = None,
    limits: Limits | None = None,
) -> Cluster:
    """A cluster object. Lazy: nothing is sent before its first use.

    address: `host:port` of metadata members, a sequence or joined by commas; one that answers is
    enough. tenant: its name. key: its API key (`holdfast tenant create`), or where it lies:
    "file:PATH" or "env:NAME"; white space around it is dropped. Those of the three that are not
    given come from HOLDFAST_ADDRESS, HOLDFAST_TENANT and HOLDFAST_KEY, or the context file that
    `holdfast up` writes; `tls` comes from there together with the address.

    transport: "auto" (shared memory with data nodes of this host, TCP with others), "tcp" or
    "shm". lanes: connections to each data node, 1 to 16. spin_us: how long a wait looks for data
    before it sleeps, microseconds; costs processor time, saves latency. tls: for members on other
    hosts.

    Raises InvalidArgument for an argument outside its range and for a key that is none,
    ConfigInvalid for a file that cannot be read, or if nobody says where the cluster is. What the
    cluster answers (wrong key, nobody there) is raised by the first call that needs it.
    """
    if transport not in _TRANSPORTS:
        raise InvalidArgument(f"transport is {transport!r}, it must be one of {_TRANSPORTS}")
    check_integer("lanes", lanes, 1, 16)
    check_integer("spin_us", spin_us, 0, 1_000_000)
    for what, value, kind in (("tls", tls, Tls), ("timeouts", timeouts, Timeouts),
                              ("limits", limits, Limits)):  # fmt: skip
        if value is not None and not isinstance(value, kind):
            raise InvalidArgument(
                f"{what} is a {type(value).__name__}, it must be a holdfast.{kind.__name__}"
            )
    if address is None or tenant is None or key is None:
        known = known_context()
        if address is None:
            address = _needed("address", known.address)
            tls = tls or (Tls(Path(known.authority)) if known.authority else None)
        tenant = _needed("tenant", known.tenant) if tenant is None else tenant
        key = load_api_key(_needed("key", known.key)) if key is None else key
    addresses = split_addresses(_texts(address))
    Members(addresses)  # checks them
    target = Target(
        addresses=addresses,
        credential=TenantCredential(tenant, key),
        tls=tls,
        timeouts=timeouts or Timeouts(),
        limits=limits or Limits(),
        transport=transport,
        lanes=lanes,
        spin_us=spin_us,
    )
    return Cluster(target)


def _texts(address: str | Sequence[str]) -> str | tuple[str, ...]:
    """The address or addresses, each of them text."""
    if isinstance(address, str):
        check_text("address", address)
        return address
    try:
        several = tuple(address)
    except TypeError:
        several = None
    if several is None or isinstance(address, (bytes, bytearray, memoryview)):
        raise InvalidArgument(
            f"address is a {type(address).__name__}, it must be text (`host:port`) or a sequence "
            "of texts"
        )
    for one in several:
        check_text("address", one)
    return several


def _needed(what: str, found: str) -> str:
    if not found:
        raise ConfigInvalid(
            f"{what} is not known: pass {what} to connect, set HOLDFAST_{what.upper()}, or start a "
            "cluster here with `holdfast up`"
        )
    return found


class Cluster:
    """A connection to one cluster as one tenant. Safe between threads; a context manager.

    Close it. One that is dropped is closed by itself once its spaces and calls are gone, too.

    After a fork, an object that the parent has not used yet works in the child; one that it has
    used raises ForkedError there and never touches the parent's connections.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._lock = Lock()
        self._session: Session | None = None
        self._closed = False
        _clusters.add(self)

    def space(
        self,
        name: str,
        *,
        block_bytes: int | None = None,
        redundancy: str | None = None,
        ttl: int = 0,
        priority: int = 0,
        fingerprint: str = "",
        create: bool = False,
        force: bool = False,
    ) -> Space:
        """Opens a space; with `create`, makes it when it is missing.

        block_bytes: bytes of every block, up to 16 MiB (up to 256 MiB for ec:K+M where each shard
        has no more than that); None: whatever the space has (needed to create). redundancy:
        "single", "mirror:2", or "ec:4+2" for 4 data and 2 parity shards; None: whatever it has,
        "single" for a new one. ttl: seconds after its write at which a block is dropped, 0 for
        never. priority: 0 to 255, blocks of higher priority stay longer. fingerprint: what the
        bytes depend on (model, layout, data type); without `create`, empty stands for any. force:
        create a space of ec:K+M also where the cluster has fewer than K + M nodes or hosts, but K
        nodes at least; `Space.survival` then says what its blocks survive.

        Raises NotFound (without `create`), SpaceMismatch (it exists with another block size,
        redundancy or fingerprint; names both), FailedPrecondition (the cluster has too few nodes or
        hosts for its shards), InvalidArgument, Unauthenticated, Unavailable, DeadlineExceeded,
        Closed, ForkedError.
        """
        if create and block_bytes is None:
            raise InvalidArgument(f"creating space {name!r} needs block_bytes")
        for what, value, most in (("block_bytes", block_bytes, 2**32), ("ttl", ttl, 2**32),
                                  ("priority", priority, 256)):  # fmt: skip
            if value is not None:
                check_integer(what, value, 0, most - 1)
        for what, text in (("name", name), ("redundancy", redundancy),
                           ("fingerprint", fingerprint)):  # fmt: skip
            if text is not None:
                check_text(f"{what} of a space", text)
        request = pb.OpenSpaceRequest(
            name=name,
            create=create,
            block_bytes=block_bytes or 0,
            redundancy=redundancy or "",
            ttl_s=ttl,
            priority=priority,
            fingerprint=fingerprint,
            force=force,
        )
        session = self._live()
        return Space(session, session.open_space(request))

    def spaces(self) -> list[str]:
        """Names of this tenant's spaces, sorted. Raises like `space`."""
        return sorted(info.name for info in list_space_infos(self))

    def delete_space(self, name: str) -> None:
        """Deletes a space with all its blocks. Its number is never used again, so that a space
        created later under the same name sees none of them.

        Once this returns the space cannot be opened any more. A data node may still answer hits
        to a space object opened before, for a moment until it has heard of the deletion. Raises
        NotFound and like `space`.
        """
        check_text("name of a space", name)
        session = self._live()
        request = pb.DeleteSpaceRequest(
            client_id=session.metadata.client_id,
            sequence=session.metadata.next_sequence(),
            name=name,
        )
        session.metadata.call(DELETE_SPACE, request, session.timeouts.metadata_s)
        session.watch.renew_tickets()

    @property
    def epoch(self) -> int:
        """Epoch of the cluster map in use. Connects if that has not happened yet."""
        return self._live().native.epoch

    def stats(self) -> dict[str, int]:
        """Counters of this object since it connected (hits, misses, bytes, ...), by name."""
        return dict(self._live().native.stats())

    def close(self, deadline: float | None = None) -> None:
        """Ends calls under way (their keys are `Status.CANCELLED`) and closes every connection.

        deadline: seconds, `Timeouts.close_s` by default. Closing twice does nothing.
        """
        seconds = self._target.timeouts.close_s if deadline is None else deadline
        check_deadline("deadline", seconds)
        with self._lock:
            self._closed = True
            session, self._session = self._session, None
        if session is not None:
            _sessions.discard(session)
            session.close(seconds)

    def _live(self) -> Session:
        session = self._session
        if session is not None:
            session.check_usable()
            return session
        with self._lock:
            if self._closed:
                raise Closed("this cluster object is closed: connect again")
            if self._session is None:
                self._session = Session(self._target)
                _sessions.add(self._session)
            return self._session

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._session else "not used yet"
        return f"<Cluster {','.join(self._target.addresses)}: {state}>"


def list_space_infos(cluster: Cluster) -> list[pb.SpaceInfo]:
    """Everything about every space of the tenant, for tools."""
    session = cluster._live()
    request = pb.ListSpacesRequest()
    return list(session.metadata.call(LIST_SPACES, request, session.timeouts.metadata_s).spaces)


def describe_space(cluster: Cluster, name: str) -> pb.SpaceInfo:
    """Everything about one space, for tools. Raises NotFound."""
    session = cluster._live()
    request = pb.SpaceName(name=name)
    return session.metadata.call(DESCRIBE_SPACE, request, session.timeouts.metadata_s)


def _close_all() -> None:
    for session in list(_sessions):
        with contextlib.suppress(HoldfastError):
            session.close(session.timeouts.close_s)
    join_all(_ABANDONED_S)


def _free_locks_in_child() -> None:
    # A thread of the parent may have held one; in the child nobody would ever release it.
    for cluster in list(_clusters):
        cluster._lock = Lock()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_free_locks_in_child)
