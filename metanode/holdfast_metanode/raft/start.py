"""Brings a member's log and state machine to one position before its host starts."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast_kvstore.errors import Corrupt
from holdfast_metanode.raft.seams import Log
from holdfast_metanode.state.machine import StateMachine
from holdfast_metanode.store.seam import Store
from holdfast_native import RaftConfiguration, RaftRecovered

_REMEDY = (
    "remove this member from the cluster and let it join again with an empty data folder and a "
    "new id"
)


def recover(
    log: Log, machine: StateMachine, store: Store, founders: Sequence[int]
) -> RaftRecovered:
    """What the log holds, fit for `RaftHost`.

    `founders`: ids of a new cluster's members, if this is one of them; empty for a member that
    joins. Raises Corrupt when log and state do not continue each other: one of them was damaged.
    """
    recovered = log.recovered()
    if recovered.is_empty and founders and machine.applied().index == 0:
        log.bootstrap(founders)
        recovered = log.recovered()
    applied = machine.applied()
    if applied.index > recovered.last_index:
        # A crash between installing a snapshot and noting it in the log leaves exactly this: the
        # state is a checkpoint. Anything else means that the log lost what it had synced, maybe
        # a vote, and this member must not take part any more.
        installed = store.newest_checkpoint()
        if installed is None or installed.index != applied.index:
            raise Corrupt(
                f"the log ends at entry {recovered.last_index}, the state at {applied.index}: the "
                "log lost synced records; " + _REMEDY
            )
        log.install_snapshot(
            applied.index, applied.term, RaftConfiguration.decode(applied.configuration)
        )
        recovered = log.recovered()
    if applied.index == 0 and recovered.snapshot_index == 1:
        machine.start_at(1, recovered.snapshot_term, recovered.configuration.encode())
    elif applied.index < recovered.snapshot_index:
        raise Corrupt(
            f"the log begins after entry {recovered.snapshot_index}, the state ends at "
            f"{applied.index}: " + _REMEDY
        )
    return recovered
