"""What every service works with."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast_kvstore.errors import NotLeader
from holdfast_kvstore.secret import Secret
from holdfast_metanode.clock import Clock
from holdfast_metanode.config import MetanodeConfig
from holdfast_metanode.gateway import Gateway
from holdfast_metanode.planner.failure_detector import FailureDetector
from holdfast_metanode.raft.host import RaftHost
from holdfast_metanode.raft.roster import Roster
from holdfast_metanode.services.hub import ViewHub
from holdfast_metanode.state.machine import StateMachine
from holdfast_metanode.store.seam import Store
from holdfast_metanode.ticket_office import TicketOffice


@dataclass(frozen=True, slots=True)
class MemberContext:
    """The parts of one running member, made by the daemon."""

    config: MetanodeConfig
    clock: Clock
    secret: Secret
    store: Store
    machine: StateMachine
    host: RaftHost
    gateway: Gateway
    roster: Roster
    hub: ViewHub
    detector: FailureDetector
    tickets: TicketOffice

    def leader_address(self) -> str | None:
        """`host:port` of the leader, if one is known."""
        leader = self.host.standing.leader
        return None if leader is None else self.roster.address_of(leader)

    def require_leader(self) -> None:
        """Raises NotLeader that names the leader."""
        if not self.host.standing.leads:
            raise NotLeader(self.leader_address())
