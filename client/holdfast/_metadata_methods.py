"""The calls of the control plane that this package makes, with their answers' types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from holdfast_proto import meta_pb2 as pb

Reply = TypeVar("Reply", bound=Message)
_PREFIX = "/holdfast.v1."


@dataclass(frozen=True, slots=True)
class Method(Generic[Reply]):
    """One gRPC method."""

    path: str
    """Full name, as gRPC writes it."""
    reply: type[Reply]


AUTHENTICATE = Method(_PREFIX + "Tenancy/Authenticate", pb.AuthenticateReply)
OPEN_SPACE = Method(_PREFIX + "Tenancy/OpenSpace", pb.OpenSpaceReply)
LIST_SPACES = Method(_PREFIX + "Tenancy/ListSpaces", pb.ListSpacesReply)
DESCRIBE_SPACE = Method(_PREFIX + "Tenancy/DescribeSpace", pb.SpaceInfo)
DELETE_SPACE = Method(_PREFIX + "Tenancy/DeleteSpace", pb.DeleteSpaceReply)
GET_MAP = Method(_PREFIX + "Tenancy/GetMap", pb.MapReply)
WATCH_MAP = Method(_PREFIX + "Tenancy/WatchMap", pb.MapReply)

STATUS = Method(_PREFIX + "Admin/Status", pb.StatusReply)
CREATE_TENANT = Method(_PREFIX + "Admin/CreateTenant", pb.CreateTenantReply)
DELETE_TENANT = Method(_PREFIX + "Admin/DeleteTenant", pb.TenantReply)
LIST_TENANTS = Method(_PREFIX + "Admin/ListTenants", pb.ListTenantsReply)
ROTATE_KEY = Method(_PREFIX + "Admin/RotateKey", pb.CreateTenantReply)
REVOKE_OLD_KEYS = Method(_PREFIX + "Admin/RevokeOldKeys", pb.TenantReply)
LIST_NODES = Method(_PREFIX + "Admin/ListNodes", pb.ListNodesReply)
DRAIN_NODE = Method(_PREFIX + "Admin/DrainNode", pb.NodeReply)
UNDRAIN_NODE = Method(_PREFIX + "Admin/UndrainNode", pb.NodeReply)
REMOVE_NODE = Method(_PREFIX + "Admin/RemoveNode", pb.NodeReply)
SET_NODE_WEIGHT = Method(_PREFIX + "Admin/SetNodeWeight", pb.NodeReply)
SPLIT_GROUPS = Method(_PREFIX + "Admin/SplitGroups", pb.MapReply)
ADD_MEMBER = Method(_PREFIX + "Admin/AddMember", pb.MemberReply)
REMOVE_MEMBER = Method(_PREFIX + "Admin/RemoveMember", pb.MemberReply)
TRANSFER_LEADER = Method(_PREFIX + "Admin/TransferLeader", pb.MemberReply)
RAISE_LEVEL = Method(_PREFIX + "Admin/RaiseLevel", pb.StatusReply)
