"""What the blocks of a space survive where the cluster places them."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast_proto import meta_pb2 as pb


@dataclass(frozen=True, slots=True)
class Survival:
    """How well blocks are placed, the least over all of them, when the cluster said so."""

    redundancy: str
    """As the space has it."""
    owners: int
    """Nodes that are to hold a copy or shard of each block."""
    placed: int
    """Of those, how many there are: fewer where a space was created with `force`."""
    failures: int
    """Failures that the redundancy promises to survive."""
    hosts: int
    """Hosts that may fail, whichever, before a block is lost."""

    @classmethod
    def read(cls, found: pb.Survival) -> Survival:
        """From what the cluster answered."""
        return cls(found.redundancy, found.owners, found.placed, found.failures, found.hosts)

    @property
    def is_whole(self) -> bool:
        """Whether every block survives what its redundancy promises."""
        return self.placed >= self.owners and self.hosts >= self.failures

    def __str__(self) -> str:
        failures = "failure" if self.hosts == 1 else "failures"
        instead = f" instead of {self.failures}" if self.hosts < self.failures else ""
        what = "shards" if self.redundancy.startswith("ec:") else "copies"
        return (
            f"placed {self.placed} of {self.owners} {what}; survives {self.hosts} "
            f"{failures}{instead}"
        )
