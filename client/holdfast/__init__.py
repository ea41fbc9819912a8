"""Holdfast keeps the context of language models off the GPU.

    import holdfast

    with holdfast.connect("127.0.0.1:7300", tenant="demo", key=key) as cluster:
        space = cluster.space("llama-3-8b", block_bytes=1 << 20, create=True)
        region = space.allocate(64 << 20)
        space.put(keys, region.blocks(indices=range(len(keys))))
        found = space.match(keys)
        space.get(keys[:found], region.blocks(indices=range(found)))

`holdfast.local()` starts a cluster on this machine for notebooks and tests.
"""

from holdfast._aio import SpaceAio
from holdfast._cluster import Cluster, connect
from holdfast._futures import SpaceFutures
from holdfast._keys import Keys, PackedKeys
from holdfast._limits import Limits, Timeouts
from holdfast._pending import Pending
from holdfast._region import Region
from holdfast._results import (
    BlockStat,
    DeleteResult,
    ExistsResult,
    GetResult,
    KeyResults,
    PinResult,
    PutResult,
    StatResult,
)
from holdfast._segments import Segments
from holdfast._space import Space
from holdfast._status import Status
from holdfast._survival import Survival
from holdfast._tls import Tls
from holdfast.errors import (
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
from holdfast.local_cluster import DaemonProcess, LocalCluster, LocalLayout, local
from holdfast_kvstore.segments import Plane

__all__ = [
    "AlreadyExists",
    "BlockStat",
    "Busy",
    "Closed",
    "Cluster",
    "ConfigInvalid",
    "Corrupt",
    "DaemonProcess",
    "DeadlineExceeded",
    "DeleteResult",
    "ExistsResult",
    "FailedPrecondition",
    "ForkedError",
    "GetResult",
    "HoldfastError",
    "Internal",
    "InvalidArgument",
    "KeyResults",
    "Keys",
    "Limits",
    "LocalCluster",
    "LocalLayout",
    "NotFound",
    "NotLeader",
    "OutcomeUnknown",
    "PackedKeys",
    "Pending",
    "PermissionDenied",
    "PinResult",
    "Plane",
    "PutResult",
    "QuotaExceeded",
    "Region",
    "Segments",
    "Space",
    "SpaceAio",
    "SpaceFutures",
    "SpaceMismatch",
    "StaleEpoch",
    "StatResult",
    "Status",
    "Survival",
    "Timeouts",
    "Tls",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
    "VersionSkew",
    "WrongCluster",
    "WrongNode",
    "connect",
    "local",
]
