"""Configuration of one metadata member: a TOML file, checked once, frozen.

What all members must agree on stands under `[cluster]` and is used when the cluster is founded;
the rest may differ from process to process.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from holdfast_kvstore.config_faults import config_faults
from holdfast_kvstore.config_size import check_config_size
from holdfast_kvstore.errors import ConfigInvalid
from holdfast_kvstore.policies import LIMITS, TIMES

Address = Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+):[0-9]{1,5}$")]
"""`host:port`, IPv6 in brackets."""
MEMBER_ID_MAX = 2**63 - 1


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MemberAddress(_Section):
    """A member and where it listens."""

    id: int = Field(ge=1, le=MEMBER_ID_MAX)
    address: Address


class MemberSection(_Section):
    """This process."""

    id: int = Field(ge=1, le=MEMBER_ID_MAX)
    """Never given to a member with another disk."""
    data: Path
    """Folder of the Raft log and the state."""
    listen: Address = "127.0.0.1:7300"
    """Port 0: any free one. Other hosts than loopback need `[tls]`."""
    advertise: Address | None = None
    """Where the others reach it; None: where it listens."""
    ready_file: Path | None = None
    """Written with the bound address once the member serves; removed at its end."""
    stop_deadline_ms: int = Field(default=5_000, ge=100, le=60_000)
    """From SIGTERM to the end."""


class ClusterSection(_Section):
    """What the cluster is founded with, or where it is found."""

    secret: str
    """"file:PATH" or "env:NAME"; the same for every process of the cluster."""
    initial_members: tuple[MemberAddress, ...] = ()
    """Founding members, the same list on each: 1, 3 or 5."""
    join: tuple[Address, ...] = Field(default=(), max_length=16)
    """Addresses of present members, for one that joins later."""
    planned_nodes: int = Field(default=4, ge=1, le=LIMITS.nodes_max)
    """Data nodes that the cluster is planned to have."""
    groups: int = Field(default=0, ge=0, le=LIMITS.groups_max)
    """Placement groups; 0: 100 for each planned node."""
    width: int = Field(default=LIMITS.copies_max, ge=1, le=LIMITS.copies_max)
    """Owners of a group at most."""

    @model_validator(mode="after")
    def _check(self) -> ClusterSection:
        ids = [member.id for member in self.initial_members]
        if len(set(ids)) != len(ids):
            raise ValueError("initial_members names an id twice")
        if self.initial_members and len(ids) not in (1, 3, 5):
            raise ValueError(f"initial_members has {len(ids)} members, it must have 1, 3 or 5")
        if bool(self.initial_members) == bool(self.join):
            raise ValueError("give either initial_members (to found) or join (to enter)")
        return self

    @property
    def group_count(self) -> int:
        """Placement groups that the cluster is founded with."""
        planned = self.planned_nodes * LIMITS.groups_per_node_planned
        return self.groups or min(planned, LIMITS.groups_max)


class RaftSection(_Section):
    """Timing and bounds of the Raft host. Ticks must agree between members."""

    tick_ms: int = Field(default=100, ge=5, le=1_000)
    election_ticks: int = Field(default=10, ge=3, le=100)
    """Ticks without a leader before an election; each draw is in [this, 2 * this)."""
    heartbeat_ticks: int = Field(default=1, ge=1, le=50)
    compact_entries: int = Field(default=20_000, ge=10, le=10_000_000)
    """Entries after which the state is checkpointed and the log shortened."""
    compact_bytes: int = Field(default=64 << 20, ge=1 << 20, le=4 << 30)
    """Bytes of entries after which that happens as well; they are held in memory."""
    keep_entries: int = Field(default=2_000, ge=0, le=1_000_000)
    """Entries kept behind a checkpoint for members that lag a little."""
    inbox_items_max: int = Field(default=10_000, ge=16, le=1_000_000)
    snapshot_transfer_ms: int = Field(default=60_000, ge=100, le=3_600_000)
    command_deadline_ms: int = Field(default=TIMES.metadata_deadline_ms, ge=100, le=60_000)
    """From a request's arrival to its answer."""
    state_bytes_max: int = Field(default=4 << 30, ge=16 << 20, le=1 << 40)
    """Largest size of the state; address space, not memory."""


class NodesSection(_Section):
    """How data nodes are watched."""

    heartbeat_interval_ms: int = Field(default=TIMES.heartbeat_interval_ms, ge=10, le=60_000)
    down_after_ms: int = Field(default=TIMES.down_after_ms, ge=50, le=600_000)
    out_after_ms: int = Field(default=TIMES.out_after_ms, ge=100, le=86_400_000)
    settle_ms: int = Field(default=250, ge=0, le=60_000)
    """Quiet time after a join before groups are given anew, so that many joins move once."""

    @model_validator(mode="after")
    def _check(self) -> NodesSection:
        if not self.heartbeat_interval_ms < self.down_after_ms < self.out_after_ms:
            raise ValueError("heartbeat_interval_ms < down_after_ms < out_after_ms must hold")
        return self


class TlsSection(_Section):
    """PEM files. When they are set, every connection of the metadata cluster uses TLS."""

    certificate: Path
    key: Path
    authority: Path
    """Certificate authority that members check one another with."""


class MetanodeConfig(_Section):
    """Everything that one member needs to know before it starts."""

    member: MemberSection
    cluster: ClusterSection
    raft: RaftSection = RaftSection()
    nodes: NodesSection = NodesSection()
    ticket_life_s: int = Field(default=TIMES.ticket_life_s, ge=5, le=86_400)
    tls: TlsSection | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _check(self) -> MetanodeConfig:
        founders = {member.id for member in self.cluster.initial_members}
        if founders and self.member.id not in founders:
            raise ValueError(f"member {self.member.id} is not among the initial_members")
        host = self.member.listen.rpartition(":")[0]
        if not _is_loopback(host) and self.tls is None:
            raise ValueError(
                f"member.listen is {self.member.listen}: other hosts than loopback need [tls] "
                "with certificate, key and authority"
            )
        if self.raft.heartbeat_ticks >= self.raft.election_ticks:
            raise ValueError("raft.heartbeat_ticks must be less than raft.election_ticks")
        return self


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "[::1]") or host.startswith("127.")


def parse_config(values: dict[str, Any], origin: str) -> MetanodeConfig:
    """Checks `values`; `origin` names where they come from. Raises ConfigInvalid."""
    try:
        return MetanodeConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigInvalid(f"configuration {origin}: {config_faults(error)}") from None


def load_config(path: Path) -> MetanodeConfig:
    """Reads a TOML file. Raises ConfigInvalid that names each field that does not hold."""
    try:
        check_config_size(path)
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigInvalid(f"configuration {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigInvalid(f"configuration {path} is not TOML: {error}") from error
    return parse_config(values, str(path))
