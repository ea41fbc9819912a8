"""What both sides of Holdfast's KV tier agree on.

Pure but for `secret.load_secret`: no input or output, no clock, no randomness. The modules
`keys`, `placement`, `secret` and `tickets` are used by name, since their functions have short
names; values and errors are here.
"""

from holdfast_kvstore import errors, keys, placement, secret, tickets
from holdfast_kvstore.cluster_map import HOLE, Capacity, ClusterMap, Node, NodeState
from holdfast_kvstore.errors import (
    AlreadyExists,
    Busy,
    Closed,
    ConfigInvalid,
    Corrupt,
    DeadlineExceeded,
    FailedPrecondition,
    ForkedError,
    HoldfastError,
    Internal,
    InvalidArgument,
    NotFound,
    NotLeader,
    OutcomeUnknown,
    PermissionDenied,
    QuotaExceeded,
    SpaceMismatch,
    StaleEpoch,
    Unauthenticated,
    Unavailable,
    Unsupported,
    VersionSkew,
    WrongCluster,
    WrongNode,
)
from holdfast_kvstore.map_codec import decode_map, encode_map
from holdfast_kvstore.policies import LIMITS, TIMES, Limits, Times
from holdfast_kvstore.redundancy import Redundancy
from holdfast_kvstore.secret import ReplayCache, Secret, load_secret
from holdfast_kvstore.segments import HasBytes, Plane, Segments, contiguous
from holdfast_kvstore.spaces import SpaceSpec, check_name
from holdfast_kvstore.tickets import Ticket, TicketKind

__all__ = [
    "HOLE",
    "LIMITS",
    "TIMES",
    "AlreadyExists",
    "Busy",
    "Capacity",
    "Closed",
    "ClusterMap",
    "ConfigInvalid",
    "Corrupt",
    "DeadlineExceeded",
    "FailedPrecondition",
    "ForkedError",
    "HasBytes",
    "HoldfastError",
    "Internal",
    "InvalidArgument",
    "Limits",
    "Node",
    "NodeState",
    "NotFound",
    "NotLeader",
    "OutcomeUnknown",
    "PermissionDenied",
    "Plane",
    "QuotaExceeded",
    "Redundancy",
    "ReplayCache",
    "Secret",
    "Segments",
    "SpaceMismatch",
    "SpaceSpec",
    "StaleEpoch",
    "Ticket",
    "TicketKind",
    "Times",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
    "VersionSkew",
    "WrongCluster",
    "WrongNode",
    "check_name",
    "contiguous",
    "decode_map",
    "encode_map",
    "errors",
    "keys",
    "load_secret",
    "placement",
    "secret",
    "tickets",
]
