"""The members' network over gRPC: one stream to each, messages in batches."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import grpc.aio
import structlog

from holdfast_kvstore.errors import Unavailable
from holdfast_metanode.raft.channels import Channels, checked_pieces
from holdfast_metanode.raft.requests import Item, Unreachable
from holdfast_metanode.raft.roster import Roster
from holdfast_native import RaftMessage
from holdfast_proto import command_pb2 as records
from holdfast_proto import meta_pb2 as meta
from holdfast_proto.meta_pb2_grpc import RaftStub

_LOG = structlog.get_logger("raft")
_EXCHANGE = "/holdfast.v1.Raft/Exchange"
_FETCH = "/holdfast.v1.Raft/FetchSnapshot"
_QUEUED_MAX = 4_096
_BATCH_MESSAGES_MAX = 512
_BATCH_BYTES_MAX = 8 << 20
_BACKOFF_S = (0.05, 0.1, 0.2, 0.5)
_STEADY_S = 2.0
"""A stream that lasted this long begins again with the shortest pause."""
_FETCH_DEADLINE_S = 600.0


class PeerNetwork:
    """`Network` of a running member. `report` queues an item for the host."""

    def __init__(
        self,
        member_id: int,
        roster: Roster,
        channels: Channels,
        cluster_id: Callable[[], bytes],
        report: Callable[[Item], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._member_id = member_id
        self._roster = roster
        self._channels = channels
        self._cluster_id = cluster_id
        self._report = report
        self._loop = loop
        self._peers: dict[int, _Peer] = {}
        self._closed = False

    def send(self, messages: Sequence[RaftMessage]) -> None:
        """See `Network.send`; from the host's thread."""
        batch = [(message.to, message.data) for message in messages]
        try:
            self._loop.call_soon_threadsafe(self._enqueue, batch)
        except RuntimeError:  # the loop has ended: so has this member
            return

    def _enqueue(self, batch: list[tuple[int, bytes]]) -> None:
        if self._closed:
            return
        for member_id, data in batch:
            peer = self._peers.get(member_id)
            if peer is None:
                peer = self._peers[member_id] = _Peer(self, member_id)
            peer.put(data)

    def fetch(self, descriptor: records.CheckpointDescriptor) -> Iterable[bytes]:
        """See `Network.fetch`; from a job's thread."""
        address = self._roster.address_of(descriptor.member)
        if address is None:
            raise Unavailable(f"member {descriptor.member} has no known address")
        return self._pieces(address, descriptor.index)

    def _pieces(self, address: str, index: int) -> Iterator[bytes]:
        request = meta.FetchSnapshotRequest(cluster_id=self._cluster_id(), index=index)
        metadata = self._channels.signed(_FETCH, request.SerializeToString())
        with self._channels.open(address) as channel:
            pieces = RaftStub(channel).FetchSnapshot(
                request, metadata=metadata, timeout=_FETCH_DEADLINE_S
            )
            yield from checked_pieces(pieces)

    async def close(self) -> None:
        """Ends every stream."""
        self._closed = True
        for peer in self._peers.values():
            await peer.close()

    # ------------------------------------------------------------------------ for peers

    def batch_of(self, messages: list[bytes]) -> meta.RaftBatch:
        """Messages with their envelope."""
        return meta.RaftBatch(
            **{"from": self._member_id}, cluster_id=self._cluster_id(), messages=messages
        )

    def open(self, member_id: int) -> tuple[str, grpc.aio.Channel] | None:
        """A channel to a member, or None while its address is unknown."""
        address = self._roster.address_of(member_id)
        return None if address is None else (address, self._channels.open_async(address))

    def address_of(self, member_id: int) -> str | None:
        """Where a member listens now."""
        return self._roster.address_of(member_id)

    def credential(self) -> tuple[tuple[str, str], ...]:
        """Metadata of one stream."""
        return self._channels.signed(_EXCHANGE, None)

    def unreachable(self, member_id: int) -> None:
        """A stream broke, or messages could not be queued."""
        if not self._closed:
            self._report(Unreachable(member_id))


class _Peer:
    """The stream to one member, opened anew when it breaks."""

    def __init__(self, network: PeerNetwork, member_id: int) -> None:
        self._network = network
        self._member_id = member_id
        self._queue: deque[bytes] = deque()
        self._filled = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def put(self, data: bytes) -> None:
        if len(self._queue) >= _QUEUED_MAX:
            # The oldest say least: Raft sends again what is still needed.
            self._queue.popleft()
        self._queue.append(data)
        self._filled.set()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            await self._filled.wait()
            began = loop.time()
            try:
                await self._connect()
            # Not only AioRpcError: a write to a call that just ended raises InvalidStateError, and
            # a stream that is not opened anew, for whatever reason, is a member lost for good.
            except Exception as error:
                level = _LOG.info if failures == 0 else _LOG.debug
                level("member unreachable", member=self._member_id, error=_told(error))
            self._queue.clear()
            self._filled.clear()
            self._network.unreachable(self._member_id)
            if loop.time() - began >= _STEADY_S:
                failures = 0
            await asyncio.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)])
            failures += 1

    async def _connect(self) -> None:
        """One stream from its first message to its end, which raises unless the address changed."""
        opened = self._network.open(self._member_id)
        if opened is None:
            return
        address, channel = opened
        async with channel:
            await self._stream(address, channel)

    async def _stream(self, address: str, channel: grpc.aio.Channel) -> None:
        """Sends until the stream breaks (raises) or the member's address has changed."""
        call = RaftStub(channel).Exchange(metadata=self._network.credential())
        ended = asyncio.ensure_future(call.code())
        try:
            while self._network.address_of(self._member_id) == address:
                filled = asyncio.ensure_future(self._filled.wait())
                try:
                    await asyncio.wait({filled, ended}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    filled.cancel()
                if ended.done():
                    await call  # raises what ended it
                    return
                await call.write(self._network.batch_of(self._take()))
        finally:
            ended.cancel()
            call.cancel()

    def _take(self) -> list[bytes]:
        taken: list[bytes] = []
        taken_bytes = 0
        while self._queue and len(taken) < _BATCH_MESSAGES_MAX and taken_bytes < _BATCH_BYTES_MAX:
            data = self._queue.popleft()
            taken_bytes += len(data)
            taken.append(data)
        if not self._queue:
            self._filled.clear()
        return taken


def _told(error: Exception) -> str:
    details = error.details() if isinstance(error, grpc.aio.AioRpcError) else None
    return details or repr(error)
