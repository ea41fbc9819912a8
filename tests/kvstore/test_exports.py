"""The public names of the package, pinned."""

import holdfast_kvstore
from holdfast_kvstore import errors

NAMES = """
HOLE LIMITS TIMES AlreadyExists Busy Capacity Closed ClusterMap ConfigInvalid Corrupt
DeadlineExceeded FailedPrecondition ForkedError HasBytes HoldfastError Internal InvalidArgument
Limits Node NodeState NotFound NotLeader OutcomeUnknown PermissionDenied Plane QuotaExceeded
Redundancy ReplayCache Secret Segments SpaceMismatch SpaceSpec StaleEpoch Ticket TicketKind Times
Unauthenticated Unavailable Unsupported VersionSkew WrongCluster WrongNode check_name contiguous
decode_map encode_map errors keys load_secret placement secret tickets
"""


def test_the_exported_names_are_these() -> None:
    assert sorted(holdfast_kvstore.__all__) == sorted(NAMES.split())
    assert all(hasattr(holdfast_kvstore, name) for name in NAMES.split())


def test_every_error_is_exported() -> None:
    found = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert found <= set(holdfast_kvstore.__all__)
