"""How metadata members enter and leave: the steps behind AddMember, JoinMember, RemoveMember."""

from __future__ import annotations

from holdfast_kvstore.errors import FailedPrecondition, NotFound, QuotaExceeded, Unavailable
from holdfast_metanode.services.member_context import MemberContext
from holdfast_proto import command_pb2 as records
from holdfast_proto import meta_pb2 as meta

MEMBERS_MAX = 9
"""Voters and learners together; more would only make each commit slower."""


async def add_member(member: MemberContext, request: meta.MemberRequest) -> None:
    """Notes the member's address and lets it learn; the leader promotes it when it caught up.

    For a member that is in already, only its address is renewed.
    """
    configuration = member.host.status.configuration
    present = {*configuration.voters, *configuration.learners}
    if request.id not in present and len(present) >= MEMBERS_MAX:
        raise QuotaExceeded(f"{MEMBERS_MAX} metadata members are the limit: remove one first")
    command = records.Command(
        register_member=records.RegisterMember(
            id=request.id, address=request.address, level_max=max(request.level_max, 1)
        )
    )
    await member.gateway.propose(command)
    if request.id not in present:
        await member.gateway.change_members(("add_learner", request.id))


async def remove_member(member: MemberContext, member_id: int) -> None:
    """Takes a member out for good. Removing the leader itself needs a transfer first."""
    configuration = member.host.status.configuration
    if member_id not in {*configuration.voters, *configuration.learners}:
        raise NotFound(f"member {member_id} is not in the cluster")
    if member_id == member.host.standing.leader:
        raise FailedPrecondition(
            f"member {member_id} leads: transfer leadership to another member first"
        )
    await member.gateway.change_members(("remove", member_id))
    await member.gateway.propose(records.Command(forget_member=records.ForgetMember(id=member_id)))


async def transfer_leader(member: MemberContext, member_id: int) -> None:
    """Hands leadership over; returns once this member does not lead any more.

    Raises FailedPrecondition for a member that does not vote, Unavailable when it does not take
    over in time: it may be down, or lag.
    """
    if member_id == member.host.standing.leader:
        return
    if member_id not in member.host.status.configuration.voters:
        raise FailedPrecondition(f"member {member_id} does not vote, so it cannot lead")
    raft = member.config.raft
    try_s = raft.tick_ms * raft.election_ticks / 1000
    for _ in range(max(1, round(raft.command_deadline_ms / 1000 / try_s) - 1)):
        # Raft gives up after an election timeout when the member has not caught up by then.
        await member.gateway.transfer_leader(member_id)
        if await member.gateway.stands_down(try_s):
            return
    raise Unavailable(f"member {member_id} did not take over: see whether it runs, try again")
