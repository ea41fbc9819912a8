"""Every error that Holdfast raises; each class says when, and what to do.

`HoldfastError` is the root. Only misuse and a metadata cluster that refuses are errors.

A key that is not stored, or that a failed node cannot serve, is never an exception: the result
of the call says so per key.
"""

from __future__ import annotations

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

__all__ = [
    "AlreadyExists",
    "Busy",
    "Closed",
    "ConfigInvalid",
    "Corrupt",
    "DeadlineExceeded",
    "FailedPrecondition",
    "ForkedError",
    "HoldfastError",
    "Internal",
    "InvalidArgument",
    "NotFound",
    "NotLeader",
    "OutcomeUnknown",
    "PermissionDenied",
    "QuotaExceeded",
    "SpaceMismatch",
    "StaleEpoch",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
    "VersionSkew",
    "WrongCluster",
    "WrongNode",
]
