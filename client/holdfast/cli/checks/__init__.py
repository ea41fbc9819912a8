"""What `holdfast doctor` looks at: one function a subject, each answers findings."""

from holdfast.cli.checks.clock import check_clock
from holdfast.cli.checks.devices import check_io_uring, check_rdma
from holdfast.cli.checks.finding import Finding, Level
from holdfast.cli.checks.memory import check_huge_pages, check_limits, check_memory
from holdfast.cli.checks.network import check_ports, check_reach
from holdfast.cli.checks.redundancy import check_redundancy

__all__ = [
    "Finding",
    "Level",
    "check_clock",
    "check_huge_pages",
    "check_io_uring",
    "check_limits",
    "check_memory",
    "check_ports",
    "check_rdma",
    "check_reach",
    "check_redundancy",
]
