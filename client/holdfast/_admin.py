"""What operators ask of the metadata cluster, with the cluster's secret as their right."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType

from google.protobuf.message import Message

from holdfast import _metadata_methods as methods
from holdfast._credentials import ClusterCredential
from holdfast._limits import check_integer, check_text
from holdfast._metadata import MetadataClient
from holdfast._metadata_methods import Method, Reply
from holdfast._tls import Tls
from holdfast.errors import FailedPrecondition, InvalidArgument, Unauthenticated
from holdfast_kvstore.policies import TIMES
from holdfast_kvstore.secret import Secret, naming_origin
from holdfast_proto import meta_pb2 as pb

DEADLINE_S = TIMES.metadata_deadline_ms / 1000
_UINT32_MAX, _UINT64_MAX = 2**32 - 1, 2**64 - 1


class AdminClient:
    """Operators' calls; each raises what the cluster answered, Unavailable or DeadlineExceeded,
    and InvalidArgument at once for what the protocol cannot carry.

    Commands carry a client id and a sequence: a retry after a lost answer applies once.
    """

    def __init__(
        self,
        addresses: Iterable[str],
        secret: Secret,
        deadline_s: float = DEADLINE_S,
        tls: Tls | None = None,
    ) -> None:
        self._secret = secret
        self._metadata = MetadataClient(addresses, ClusterCredential(secret), tls)
        self._deadline_s = deadline_s

    def status(self) -> pb.StatusReply:
        """Members, leader, data nodes, counts: as the leader knows them, if there is one."""
        found, is_leaders = self._from_leader_or_not()
        # A follower knows who leads, but not how far the others are.
        return found if is_leaders else self._call(methods.STATUS, pb.StatusRequest())

    def _from_leader_or_not(self) -> tuple[pb.StatusReply, bool]:
        """A member's status, and False if another one leads: that one is asked from now on."""
        found = self._call(methods.STATUS, pb.StatusRequest())
        members = self._metadata.members
        leader = next((m.address for m in found.members if m.id == found.leader_id), "")
        if not leader or leader == members.current():
            return found, True
        members.prefer(leader)
        return found, False

    def create_tenant(self, name: str, limit_bytes: int = 0) -> pb.CreateTenantReply:
        """A tenant and its API key, shown this once. limit_bytes: per data node, 0 for none."""
        check_text("name of a tenant", name)
        check_integer("limit_bytes", limit_bytes, 0, _UINT64_MAX)
        request = pb.CreateTenantRequest(
            client_id=self._metadata.client_id,
            sequence=self._metadata.next_sequence(),
            name=name,
            limit_bytes=limit_bytes,
        )
        return self._call(methods.CREATE_TENANT, request)

    def delete_tenant(self, name: str) -> pb.TenantReply:
        """Deletes a tenant with all its spaces."""
        return self._call(methods.DELETE_TENANT, self._tenant(name))

    def list_tenants(self) -> list[pb.TenantInfo]:
        """Every tenant."""
        return list(self._call(methods.LIST_TENANTS, pb.ListTenantsRequest()).tenants)

    def rotate_key(self, name: str) -> pb.CreateTenantReply:
        """A second API key; the first stays valid until `revoke_old_keys`."""
        return self._call(methods.ROTATE_KEY, self._tenant(name))

    def revoke_old_keys(self, name: str) -> pb.TenantReply:
        """Leaves only the newest API key valid."""
        return self._call(methods.REVOKE_OLD_KEYS, self._tenant(name))

    def list_nodes(self) -> pb.ListNodesReply:
        """Every data node. Loads and ages of heartbeats are known to the leader alone, which is
        asked if there is one; `load` is unset where they are not known."""
        self._from_leader_or_not()
        return self._call(methods.LIST_NODES, pb.ListNodesRequest())

    def drain_node(self, node: int) -> pb.NodeInfo:
        """Gives a node's groups away; it goes on serving what it still holds."""
        return self._call(methods.DRAIN_NODE, self._node(node)).node

    def undrain_node(self, node: int) -> pb.NodeInfo:
        """Ends a drain: the node gets groups again."""
        return self._call(methods.UNDRAIN_NODE, self._node(node)).node

    def remove_node(self, node: int, force: bool = False) -> pb.NodeInfo:
        """Takes a node off the map. force: also one that still holds blocks."""
        request = self._node(node)
        request.force = force
        return self._call(methods.REMOVE_NODE, request).node

    def set_node_weight(self, node: int, weight: float) -> pb.NodeInfo:
        """Changes a node's share of the groups."""
        _check_weight(weight)
        request = self._node(node)
        request.weight = weight
        return self._call(methods.SET_NODE_WEIGHT, request).node

    def split_groups(self, factor: int) -> int:
        """Cuts every placement group in `factor` parts; answers the new epoch."""
        check_integer("factor", factor, 1, _UINT32_MAX)
        request = pb.SplitGroupsRequest(
            client_id=self._metadata.client_id,
            sequence=self._metadata.next_sequence(),
            factor=factor,
        )
        return self._call(methods.SPLIT_GROUPS, request).epoch

    def add_member(self, member: int, address: str) -> list[pb.MemberStatus]:
        """Lets a metadata member in by hand, before it starts; one that is in gets `address`."""
        check_text("address", address)
        request = _member(member)
        request.address = address
        return list(self._call(methods.ADD_MEMBER, request).members)

    def remove_member(self, member: int) -> list[pb.MemberStatus]:
        """Removes a metadata member. Raises FailedPrecondition for the leader and the only one."""
        request = _member(member)
        try:
            return list(self._call(methods.REMOVE_MEMBER, request).members)
        except FailedPrecondition:
            if [present.id for present in self.status().members] != [member]:
                raise
            raise FailedPrecondition(
                f"member {member} is the only metadata member and holds all metadata: let another "
                "one in first (`cluster.join` in its configuration), transfer leadership to it, "
                "then remove this one"
            ) from None

    def transfer_leader(self, member: int) -> list[pb.MemberStatus]:
        """Hands leadership over."""
        return list(self._call(methods.TRANSFER_LEADER, _member(member)).members)

    def raise_level(self, level: int) -> pb.StatusReply:
        """Activates the commands of a newer cluster level; never lowered again."""
        check_integer("level", level, 0, _UINT32_MAX)
        return self._call(methods.RAISE_LEVEL, pb.RaiseLevelRequest(level=level))

    def close(self) -> None:
        """Closes every connection."""
        self._metadata.close()

    def _call(self, method: Method[Reply], request: Message) -> Reply:
        try:
            return self._metadata.call(method, request, self._deadline_s)
        except Unauthenticated as error:
            raise naming_origin(error, self._secret) from error

    def _tenant(self, name: str) -> pb.TenantRequest:
        check_text("name of a tenant", name)
        return pb.TenantRequest(
            client_id=self._metadata.client_id,
            sequence=self._metadata.next_sequence(),
            name=name,
        )

    def _node(self, node: int) -> pb.NodeRequest:
        check_integer("id of the node", node, 1, _UINT64_MAX)
        return pb.NodeRequest(
            client_id=self._metadata.client_id,
            sequence=self._metadata.next_sequence(),
            node=node,
        )

    def __enter__(self) -> AdminClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _member(member: int) -> pb.MemberRequest:
    check_integer("id of the member", member, 1, _UINT64_MAX)
    return pb.MemberRequest(id=member)


def _check_weight(weight: float) -> None:
    # That it is whole is the cluster's to check.
    try:
        possible = 0 <= weight <= _UINT32_MAX
    except (TypeError, ValueError):
        possible = False
    if not possible:
        raise InvalidArgument(f"weight is {weight!r}, it must be a number of 0 to {_UINT32_MAX}")
