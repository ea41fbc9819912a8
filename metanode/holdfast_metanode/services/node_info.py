"""Data nodes and members as operators see them."""

from __future__ import annotations

from holdfast_kvstore.cluster_map import ClusterMap
from holdfast_metanode.services.member_context import MemberContext
from holdfast_metanode.state.moving import groups_to_move
from holdfast_proto import meta_pb2 as meta


def node_infos(member: MemberContext, cluster_map: ClusterMap) -> list[meta.NodeInfo]:
    """Every data node, by id. Ages and loads are known to the leader alone."""
    moving = groups_to_move(cluster_map).tolist()
    if not cluster_map.nodes:
        return []
    first = cluster_map.loads()[0].tolist()
    found = []
    for slot, node in enumerate(cluster_map.nodes):
        info = meta.NodeInfo(
            id=node.id,
            incarnation=node.incarnation,
            tcp_address=node.tcp_address,
            unix_path=node.unix_path,
            boot_id=node.boot_id,
            host=node.host,
            rack=node.rack,
            weight=node.weight,
            state=meta.NodeState.ValueType(node.state),
            groups=first[slot],
            groups_to_move=moving[slot],
        )
        heard = member.detector.heard_from(node.id)
        if heard is not None:
            info.heartbeat_age_ms = max(0, member.clock.monotonic_ms() - heard.at_ms)
            info.load.CopyFrom(heard.load)
        found.append(info)
    return found


def node_info(member: MemberContext, cluster_map: ClusterMap, node_id: int) -> meta.NodeInfo:
    """One data node. Raises NotFound."""
    return node_infos(member, cluster_map)[cluster_map.slot_of(node_id)]


def member_statuses(member: MemberContext) -> list[meta.MemberStatus]:
    """Every metadata member, by id; positions and reachability as the leader knows them."""
    status = member.host.status
    progress = {found.member_id: found for found in status.progress}
    configuration = status.configuration
    statuses = []
    for member_id in sorted({*configuration.voters, *configuration.learners}):
        found = progress.get(member_id)
        own = member_id == status.member_id
        statuses.append(
            meta.MemberStatus(
                id=member_id,
                address=member.roster.address_of(member_id) or "",
                leader=member_id == member.host.standing.leader,
                learner=member_id in configuration.learners,
                match_index=found.matched if found else 0,
                reachable=own or bool(found and found.recently_active),
            )
        )
    return statuses
