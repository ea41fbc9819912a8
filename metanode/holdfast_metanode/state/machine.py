"""The replicated state machine: committed entries in, results out; the same on every member."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from holdfast_kvstore.errors import FailedPrecondition, HoldfastError, VersionSkew, to_wire
from holdfast_metanode.commands import OPERATIONS, level_of
from holdfast_metanode.state import tables
from holdfast_metanode.state.change import Change
from holdfast_metanode.state.sessions import Sessions
from holdfast_metanode.state.view import MapCache, StateView
from holdfast_metanode.store.seam import Checkpoint, Store, Writer
from holdfast_proto import command_pb2 as records


@dataclass(frozen=True, slots=True)
class Applied:
    """One committed entry, for `StateMachine.apply`."""

    index: int
    term: int
    data: bytes
    """A serialised `Command`, or empty for an entry that only moves the position."""
    configuration: bytes = b""
    """The encoded configuration in force from here on, for a membership change."""


class StateMachine:
    """Applies commands to a store.

    Deterministic: what it does depends on the store and the entries alone. An error of an
    operation is its result; anything else that is raised is a fault, undoes the transaction and
    must stop the member, because its state would leave the others'.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._writing = MapCache()
        self._reading = MapCache()
        self._check_format()

    def _check_format(self) -> None:
        with self._store.write() as writer:
            found = int.from_bytes(writer.get(tables.FORMAT) or b"", "big")
            if found > tables.FORMAT_VERSION:
                raise VersionSkew("metadata store", str(tables.FORMAT_VERSION), str(found))
            if found == 0:
                writer.put(tables.FORMAT, tables.FORMAT_VERSION.to_bytes(2, "big"))

    # ------------------------------------------------------------------------ reads

    @contextmanager
    def view(self) -> Iterator[StateView]:
        """Typed reads of the last commit. For one thread (the services')."""
        with self._store.read() as reader:
            yield StateView(reader, self._reading)

    def applied(self) -> records.AppliedRecord:
        """Position in the Raft log of the last commit."""
        with self._store.read() as reader:
            return tables.read_applied(reader)

    # ------------------------------------------------------------------------ writes

    def apply(self, entries: Sequence[Applied]) -> list[bytes]:
        """Applies entries in order in one transaction; one serialised `Result` an entry."""
        if not entries:
            return []
        try:
            with self._store.write() as writer:
                position = tables.read_applied(writer)
                results = []
                for entry in entries:
                    assert entry.index == position.index + 1, "entries apply without a gap"
                    results.append(self._apply_one(writer, entry.data) if entry.data else b"")
                    position.index, position.term = entry.index, entry.term
                    if entry.configuration:
                        position.configuration = entry.configuration
                writer.put(tables.APPLIED, position.SerializeToString())
            return results
        except BaseException:
            self._writing.clear()
            raise

    def start_at(self, index: int, term: int, configuration: bytes) -> None:
        """Gives an empty store the position at which the log begins."""
        with self._store.write() as writer:
            record = records.AppliedRecord(index=index, term=term, configuration=configuration)
            writer.put(tables.APPLIED, record.SerializeToString())

    def install(self, checkpoint: Checkpoint) -> None:
        """Replaces the state by a staged checkpoint."""
        self._store.install(checkpoint.index)
        self._writing.clear()
        self._reading.clear()

    def _apply_one(self, writer: Writer, data: bytes) -> bytes:
        command = records.Command.FromString(data)
        counters = records.CountersRecord.FromString(writer.get(tables.COUNTERS) or b"")
        now_ms = max(command.stamped_at_ms, counters.now_ms)
        sessions = Sessions(writer, now_ms)
        try:
            if command.client_id:
                recalled = sessions.recall(command.client_id, command.sequence)
                if recalled is not None:
                    return recalled
        except HoldfastError as error:
            return _failure(error).SerializeToString()
        result = self._run(writer, command, now_ms)
        created = 0
        if command.client_id:
            created = sessions.remember(command.client_id, command.sequence, result)
        counters = records.CountersRecord.FromString(writer.get(tables.COUNTERS) or b"")
        gone = sessions.expire(counters.sessions + created)
        counters.sessions += created - gone
        counters.now_ms = now_ms
        counters.commands += 1
        writer.put(tables.COUNTERS, counters.SerializeToString())
        return result

    def _run(self, writer: Writer, command: records.Command, now_ms: int) -> bytes:
        name = command.WhichOneof("operation")
        # A member too old for a command must stop, not skip it; levels keep that from happening.
        assert name is not None, "this build does not know a command that the cluster logged"
        change = Change(writer, self._writing, now_ms)
        try:
            if name != "bootstrap_cluster":
                level = change.cluster().level
                needed = max(command.version, level_of(command))
                if needed > level:
                    raise FailedPrecondition(
                        f"{name} needs cluster level {needed}, the cluster is at {level}: raise "
                        "it once every member is upgraded (holdfast member raise-level)"
                    )
            result = OPERATIONS[name](change, getattr(command, name))
        except HoldfastError as error:
            result = _failure(error)
        return result.SerializeToString()


def _failure(error: HoldfastError) -> records.Result:
    code, message, details = to_wire(error)
    return records.Result(failure=records.Failure(code=code, message=message, details=details))
