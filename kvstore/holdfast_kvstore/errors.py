"""The exception tree of Holdfast: every package raises these, and the client re-exports them.

Each class has a stable `code`. `to_wire` and `from_wire` carry an error through gRPC trailing
metadata, so that a caller catches the class that the server raised. A lookup that finds nothing
is never an exception; per-key results say so.
"""

# What users catch reads better as `NotFound` than as `NotFoundError`.
# ruff: noqa: N818

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class HoldfastError(Exception):
    """Root of every error of Holdfast. Raised itself only for a code of a newer peer.

    `details` holds what happened to which object as text, in the form that travels on the wire.
    """

    code: ClassVar[str] = "error"
    """Stable name on the wire; never reused for another meaning."""
    grpc_status: ClassVar[str] = "UNKNOWN"
    """Name of the gRPC status code that carries it."""
    retryable: ClassVar[bool] = False
    """True if the same call may succeed later without a change by the caller."""

    details: dict[str, str]

    def __init__(self, message: str, **details: str) -> None:
        super().__init__(message)
        self.details = details

    @property
    def message(self) -> str:
        """What happened, to which object, and what to do."""
        return str(self.args[0])

    def __reduce__(self) -> tuple[object, ...]:
        return (from_wire, to_wire(self))


class InvalidArgument(HoldfastError):
    """An argument is outside its range or form. Correct it; the message names the limits."""

    code = "invalid_argument"
    grpc_status = "INVALID_ARGUMENT"


class ConfigInvalid(InvalidArgument):
    """A configuration file or field does not hold. Correct the field that the message names."""

    code = "config_invalid"


class Unsupported(InvalidArgument):
    """This build or machine cannot do what was asked (GPU memory, say). Use what it names."""

    code = "unsupported"
    grpc_status = "UNIMPLEMENTED"


class NotFound(HoldfastError):
    """The named tenant, space or node does not exist. Create it, or correct the name."""

    code = "not_found"
    grpc_status = "NOT_FOUND"


class AlreadyExists(HoldfastError):
    """The name is taken. Open the existing object, or choose another name."""

    code = "already_exists"
    grpc_status = "ALREADY_EXISTS"


class SpaceMismatch(HoldfastError):
    """A space exists with other properties than the caller asked for. Use another name."""

    code = "space_mismatch"
    grpc_status = "FAILED_PRECONDITION"

    def __init__(self, space: str, field: str, stored: str, asked: str) -> None:
        super().__init__(
            f"space {space!r} was created with {field} {stored}, this call asks for {asked}: "
            "open it with the stored value, or create a space of another name",
            space=space,
            field=field,
            stored=stored,
            asked=asked,
        )

    @property
    def stored(self) -> str:
        """The value that the space was created with."""
        return self.details.get("stored", "")

    @property
    def asked(self) -> str:
        """The value that this call asked for."""
        return self.details.get("asked", "")


class FailedPrecondition(HoldfastError):
    """The cluster is not in a state that allows this. The message says which state it needs."""

    code = "failed_precondition"
    grpc_status = "FAILED_PRECONDITION"


class PermissionDenied(HoldfastError):
    """The caller is known but has no right to this object. Ask its owner, or use another key."""

    code = "permission_denied"
    grpc_status = "PERMISSION_DENIED"


class Unauthenticated(HoldfastError):
    """Key, ticket or credential is missing, forged or past its end. Get a valid one."""

    code = "unauthenticated"
    grpc_status = "UNAUTHENTICATED"


class Unavailable(HoldfastError):
    """No server that could answer can be reached now. Try again; check addresses and daemons."""

    code = "unavailable"
    grpc_status = "UNAVAILABLE"
    retryable = True


class NotLeader(Unavailable):
    """This metadata member does not lead. Ask the leader that it names, if it names one."""

    code = "not_leader"

    def __init__(self, leader_address: str | None = None) -> None:
        where = f"ask the leader at {leader_address}" if leader_address else "ask another member"
        super().__init__(
            f"this metadata member is not the leader: {where}",
            leader_address=leader_address or "",
        )

    @property
    def leader_address(self) -> str | None:
        """`host:port` of the leader, or None while there is none."""
        return self.details.get("leader_address") or None


class Busy(Unavailable):
    """A bound on requests or bytes in flight is reached. Try again after those have ended."""

    code = "busy"
    grpc_status = "RESOURCE_EXHAUSTED"


class DeadlineExceeded(HoldfastError):
    """The call's time was over before it was done. Give it more time, or look for a slow node."""

    code = "deadline_exceeded"
    grpc_status = "DEADLINE_EXCEEDED"
    retryable = True


class OutcomeUnknown(HoldfastError):
    """A change may or may not have happened. Repeat it with the same client id and sequence."""

    code = "outcome_unknown"
    grpc_status = "ABORTED"
    retryable = True


class QuotaExceeded(HoldfastError):
    """A limit of the tenant is reached. Delete something, or have the limit raised."""

    code = "quota_exceeded"
    grpc_status = "RESOURCE_EXHAUSTED"


class WrongCluster(HoldfastError):
    """The peer belongs to another cluster. Correct the address or the configuration."""

    code = "wrong_cluster"
    grpc_status = "FAILED_PRECONDITION"

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(
            f"this call is for cluster {expected}, the peer belongs to {found}: "
            "correct the address",
            expected=expected,
            found=found,
        )

    @property
    def expected(self) -> str:
        """The caller's cluster id, hex."""
        return self.details.get("expected", "")

    @property
    def found(self) -> str:
        """The peer's cluster id, hex."""
        return self.details.get("found", "")


class WrongNode(HoldfastError):
    """Another data node answers at this address than the map says. The map is read anew."""

    code = "wrong_node"
    grpc_status = "FAILED_PRECONDITION"
    retryable = True


class VersionSkew(HoldfastError):
    """Both sides have no protocol or format version in common. Upgrade the older side."""

    code = "version_skew"
    grpc_status = "FAILED_PRECONDITION"

    def __init__(self, what: str, ours: str, theirs: str) -> None:
        super().__init__(
            f"{what}: this side speaks version {ours}, the other side {theirs}: "
            "upgrade the older one",
            what=what,
            ours=ours,
            theirs=theirs,
        )

    @property
    def ours(self) -> str:
        """Versions of the side that raised the error."""
        return self.details.get("ours", "")

    @property
    def theirs(self) -> str:
        """Versions of its peer."""
        return self.details.get("theirs", "")


class StaleEpoch(HoldfastError):
    """The cluster map changed since the caller read it. It is read anew and the call repeated."""

    code = "stale_epoch"
    grpc_status = "FAILED_PRECONDITION"
    retryable = True

    def __init__(self, ours: int, theirs: int) -> None:
        super().__init__(
            f"the call was made with cluster map epoch {theirs}, epoch {ours} is known here: "
            "read the map again",
            ours=str(ours),
            theirs=str(theirs),
        )


class Corrupt(HoldfastError):
    """Stored or received bytes are not what was written. They are dropped, never handed out."""

    code = "corrupt"
    grpc_status = "DATA_LOSS"


class Closed(HoldfastError):
    """The cluster, space or region was closed by this process. Open a new one."""

    code = "closed"
    grpc_status = "CANCELLED"


class ForkedError(HoldfastError):
    """An object of the parent process was used after a fork. Call `connect` in the child."""

    code = "forked"
    grpc_status = "FAILED_PRECONDITION"


class Internal(HoldfastError):
    """A fault of Holdfast itself. Report it with the message and the server's log."""

    code = "internal"
    grpc_status = "INTERNAL"


def _tree(root: type[HoldfastError]) -> list[type[HoldfastError]]:
    return [root, *(found for child in root.__subclasses__() for found in _tree(child))]


_CLASSES: dict[str, type[HoldfastError]] = {found.code: found for found in _tree(HoldfastError)}
_FOREIGN_CODE = "foreign_code"


def to_wire(error: HoldfastError) -> tuple[str, str, dict[str, str]]:
    """`error` as (code, message, details), all text."""
    return error.details.get(_FOREIGN_CODE, error.code), error.message, dict(error.details)


def from_wire(code: str, message: str, details: Mapping[str, str]) -> HoldfastError:
    """The error that `to_wire` was given, of the same class.

    A code that this version does not know becomes a plain `HoldfastError` that keeps the code.
    """
    found = _CLASSES.get(code, HoldfastError)
    error = found.__new__(found)
    HoldfastError.__init__(error, message, **dict(details))
    if code not in _CLASSES:
        error.details[_FOREIGN_CODE] = code
    return error
