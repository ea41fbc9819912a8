"""Whether a data node answers, as the leader's list of data nodes tells."""

from __future__ import annotations

from holdfast_kvstore.policies import TIMES
from holdfast_proto import meta_pb2 as pb


def answers(node: pb.NodeInfo) -> bool:
    """Whether a data node is up, or draining and heard of a short while ago.

    One that is drained is not marked down when it falls silent: its heartbeat alone tells.
    """
    if node.state != pb.NODE_STATE_DRAINING:
        return node.state == pb.NODE_STATE_UP
    return node.HasField("load") and node.heartbeat_age_ms < TIMES.down_after_ms
