"""Results of applied commands, kept so that a retry gets the same one and changes nothing.

A client numbers its commands from 1 up. Its last `RESULTS_KEPT` results are kept; that bounds how
many of its commands may be unanswered at a time. A session that was silent for `LIFE_MS`, by the
stamps of commands, is forgotten; beyond `SESSIONS_MAX` the one silent longest goes first.
"""

from __future__ import annotations

from holdfast_kvstore.errors import FailedPrecondition, InvalidArgument
from holdfast_metanode.state import tables
from holdfast_metanode.store.seam import Writer
from holdfast_proto import command_pb2 as records

RESULTS_KEPT = 16
"""Results of one client; equal on all members."""
LIFE_MS = 3_600_000
"""Silence after which a session is forgotten; equal on all members."""
SESSIONS_MAX = 100_000
"""Sessions in all; equal on all members."""
CLIENT_ID_BYTES_MAX = 64
"""Bytes of a client id."""
_SEEN_STEP_MS = 60_000
_EXPIRED_PER_COMMAND_MAX = 4


class Sessions:
    """The session table within one transaction."""

    def __init__(self, writer: Writer, now_ms: int) -> None:
        self._writer = writer
        self._now_ms = now_ms

    def recall(self, client_id: bytes, sequence: int) -> bytes | None:
        """The result of a command that was applied before, or None for a new one.

        Raises FailedPrecondition for a sequence so old that its result is forgotten, and
        InvalidArgument for a client id or sequence that cannot be.
        """
        if len(client_id) > CLIENT_ID_BYTES_MAX or sequence == 0:
            raise InvalidArgument(
                f"a command needs a client id of 1 to {CLIENT_ID_BYTES_MAX} bytes and a sequence "
                f"of at least 1, this one has {len(client_id)} bytes and {sequence}"
            )
        found = self._writer.get(_result_key(client_id, sequence))
        if found is None and sequence <= self._session(client_id).floor:
            raise FailedPrecondition(
                f"command {sequence} of this client is too old: only the last {RESULTS_KEPT} "
                "results are kept; it may have been applied"
            )
        return found

    def remember(self, client_id: bytes, sequence: int, result: bytes) -> int:
        """Keeps a result. Returns by how much the number of sessions changed."""
        session = self._session(client_id)
        created = session.seen_at_ms == 0
        self._writer.put(_result_key(client_id, sequence), result)
        session.results += 1
        if session.results > RESULTS_KEPT:
            oldest, _ = next(iter(self._writer.scan(_results_prefix(client_id))))
            self._writer.delete(oldest)
            session.results -= 1
            session.floor = max(session.floor, int.from_bytes(oldest[-8:], "big"))
        if created or self._now_ms - session.seen_at_ms > _SEEN_STEP_MS:
            if not created:
                self._writer.delete(_order_key(session.seen_at_ms, client_id))
            session.seen_at_ms = max(self._now_ms, 1)
            self._writer.put(_order_key(session.seen_at_ms, client_id), b"")
        self._writer.put(tables.SESSIONS + client_id, session.SerializeToString())
        return int(created)

    def expire(self, sessions: int) -> int:
        """Forgets some sessions that are due. `sessions`: how many there are. Returns how many."""
        gone = 0
        due: list[tuple[int, bytes]] = []
        for key, _ in self._writer.scan(tables.SESSION_ORDER):
            seen_at_ms = tables.u64_of(key)
            full = sessions - len(due) > SESSIONS_MAX
            if len(due) >= _EXPIRED_PER_COMMAND_MAX or (
                not full and self._now_ms - seen_at_ms <= LIFE_MS + _SEEN_STEP_MS
            ):
                break
            due.append((seen_at_ms, key[9:]))
        for seen_at_ms, client_id in due:
            for key, _ in list(self._writer.scan(_results_prefix(client_id))):
                self._writer.delete(key)
            self._writer.delete(tables.SESSIONS + client_id)
            self._writer.delete(_order_key(seen_at_ms, client_id))
            gone += 1
        return gone

    def _session(self, client_id: bytes) -> records.SessionRecord:
        data = self._writer.get(tables.SESSIONS + client_id)
        return records.SessionRecord.FromString(data or b"")


def _results_prefix(client_id: bytes) -> bytes:
    # The length keeps the results of one client from being a prefix of another's.
    return tables.SESSION_RESULTS + bytes([len(client_id)]) + client_id


def _result_key(client_id: bytes, sequence: int) -> bytes:
    return _results_prefix(client_id) + sequence.to_bytes(8, "big")


def _order_key(seen_at_ms: int, client_id: bytes) -> bytes:
    return tables.u64_key(tables.SESSION_ORDER, seen_at_ms) + client_id
