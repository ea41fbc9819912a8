"""Data nodes as operators see them: who is asked, and what is not known."""

from __future__ import annotations

from contextlib import ExitStack

import grpc

from holdfast._admin import AdminClient
from holdfast.cli.drain import left_on
from holdfast.cli.status import NODE_COLUMNS, node_rows
from holdfast_kvstore.secret import Secret
from holdfast_proto import meta_pb2 as pb
from tests.client.fake_members import Answer, FakeMember

LEADER, FOLLOWER = 1, 2


def test_the_leader_is_asked_for_loads_also_after_it_changed() -> None:
    with ExitStack() as stack:
        members: list[FakeMember] = []
        leading = [LEADER]

        def answer_of(member: int) -> Answer:
            def answer(name: str, body: bytes, context: grpc.ServicerContext) -> bytes:
                node = pb.NodeInfo(id=7, state=pb.NODE_STATE_DRAINING)
                if member == leading[0]:
                    node.load.blocks = 40 + member
                if name == "ListNodes":
                    return pb.ListNodesReply(nodes=[node]).SerializeToString()
                statuses = [
                    pb.MemberStatus(id=number, address=found.address)
                    for number, found in enumerate(members, start=1)
                ]
                reply = pb.StatusReply(leader_id=leading[0], members=statuses, nodes=[node])
                return reply.SerializeToString()

            return answer

        for number in (LEADER, FOLLOWER):
            members.append(FakeMember(answer_of(number)))
            stack.callback(members[-1].stop)
        addresses = [member.address for member in reversed(members)]
        admin = stack.enter_context(AdminClient(addresses, Secret(b"s" * 32), 5.0))
        assert admin.list_nodes().nodes[0].load.blocks == 40 + LEADER
        assert left_on(admin.list_nodes().nodes, 7) == 1
        leading[0] = FOLLOWER
        assert admin.list_nodes().nodes[0].load.blocks == 40 + FOLLOWER
        # Nobody leads: a member that has not heard of the node cannot say that it is empty.
        leading[0] = 0
        assert not admin.list_nodes().nodes[0].HasField("load")
        assert left_on(admin.list_nodes().nodes, 7) is None


def test_what_is_not_known_of_a_node_is_a_dash() -> None:
    unknown = pb.NodeInfo(id=7, state=pb.NODE_STATE_UP, groups=3)
    known = pb.NodeInfo(id=8, state=pb.NODE_STATE_UP, load=pb.NodeLoad())
    first, second = (
        dict(zip(NODE_COLUMNS, row, strict=True)) for row in node_rows((unknown, known))
    )
    assert [first[name] for name in ("used", "of", "blocks", "hit rate", "heartbeat")] == ["-"] * 5
    assert first["groups"] == 3
    assert (second["used"], second["blocks"], second["heartbeat"]) == ("0 B", 0, "0.0 s ago")
