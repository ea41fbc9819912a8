"""The data node's configuration: one TOML file, read once, checked once, frozen."""

from __future__ import annotations

import ipaddress
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from holdfast_kvstore.config_faults import config_faults
from holdfast_kvstore.config_size import check_config_size
from holdfast_kvstore.errors import ConfigInvalid
from holdfast_kvstore.policies import LIMITS

MIB = 1 << 20
_UNIX_PATH_BYTES_MAX = 107
"""What the kernel takes as the name of a socket."""


def split_address(address: str) -> tuple[str, int]:
    """`host:port` as its two parts; an IPv6 host stands in brackets. Raises ValueError."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"{address!r} is not of the form host:port")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only processes of this machine reach the host (a name other than localhost: no)."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_address(address: str) -> str:
    split_address(address)
    return address


def _checked_peer(address: str) -> str:
    if split_address(address)[1] == 0:
        raise ValueError(f"{address!r} needs a port other than 0")
    return address


Address = Annotated[str, AfterValidator(_checked_address)]
PeerAddress = Annotated[str, AfterValidator(_checked_peer)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ServingConfig(_Section):
    """Bounds of the block protocol's server. They may differ from node to node."""

    reactors: int = Field(default=1, ge=1, le=64)
    """Threads that serve connections."""
    spin_us: int = Field(default=0, ge=0, le=10_000)
    """How long a thread looks for work before it sleeps, microseconds; costs processor time."""
    connections_max: int = Field(default=1024, ge=1, le=65_536)
    """Connections at once; further ones are refused."""
    grant_mib_max: int = Field(default=256, ge=16, le=65_536)
    """Payload of puts that one connection may have granted and not yet sent, MiB."""
    tenant_mib_in_flight_max: int = Field(default=1024, ge=16, le=1 << 20)
    """The same for all connections of one tenant, MiB."""
    pin_mib_max: int = Field(default=1024, ge=0, le=1 << 20)
    """Payload that one tenant may hold by timed pins, MiB."""
    idle_deadline_ms: int = Field(default=300_000, ge=1_000, le=86_400_000)
    """Silence after which a connection is closed."""


class WorkersConfig(_Section):
    """Pace and patience of the background work."""

    move_mib_per_s: int = Field(default=512, ge=1, le=1 << 20)
    """Payload that this node copies from previous owners at most, MiB each second."""
    move_step_mib: int = Field(default=16, ge=1, le=1024)
    """Payload of one step of a move, MiB; a pause takes effect between two steps."""
    move_step_deadline_ms: int = Field(default=5_000, ge=100, le=60_000)
    """Longest time of one step."""
    move_tries_max: int = Field(default=5, ge=1, le=100)
    """Steps in a row that may fail at one previous owner before its blocks are given up."""
    move_retry_ms: int = Field(default=1_000, ge=10, le=60_000)
    """From a failed step to the next try."""
    move_wait_down_s: int = Field(default=60, ge=0, le=86_400)
    """How long a previous owner that is down is waited for before its blocks are given up."""
    release_after_ms: int = Field(default=3_000, ge=0, le=600_000)
    """How long blocks of groups that went elsewhere are kept for clients with an older map."""
    scrub_within_s: int = Field(default=14 * 86_400, ge=1, le=366 * 86_400)
    """Time within which every block is read and compared with its checksum."""
    scrub_mib_per_s: int = Field(default=64, ge=1, le=1 << 20)
    """What is read for that at most, MiB each second, whatever the time demands."""
    expire_interval_ms: int = Field(default=1_000, ge=100, le=600_000)
    """From one look for expired blocks to the next."""


class MetricsConfig(_Section):
    """Figures in Prometheus' text form over HTTP."""

    listen: Address | None = None
    """`host:port` (port 0: any); none: off. Loopback unless `insecure_network` is set."""


class LogConfig(_Section):
    """What is written to standard error, one JSON object a line."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class DataNodeConfig(_Section):
    """Everything that one data node is told. Raises ConfigInvalid through `load_config`."""

    data_directory: Path
    """Holds the node's identity, its lock and its ready file. Made when it is missing."""
    members: Annotated[tuple[PeerAddress, ...], Field(min_length=1, max_length=16, strict=False)]
    """`host:port` of metadata members; one that answers is enough, the others are learnt."""
    members_authority: Path | None = None
    """PEM file of the certificate authority that the members' certificates are checked with; none:
    members are spoken to in plain text."""
    secret: str
    """The cluster's secret, by reference: "file:PATH" or "env:NAME"."""
    listen: Address = "127.0.0.1:7400"
    """Where the block protocol is served (port 0: any)."""
    advertise: PeerAddress | None = None
    """`host:port` that others use to reach it; none: `listen`."""
    unix_path: Path | None = None
    """Socket for shared memory with processes of this machine; none: TCP only."""
    insecure_network: bool = False
    """Allows addresses that other machines reach; the block protocol is not encrypted."""
    host: str = Field(default="", max_length=LIMITS.label_bytes_max)
    """Label of the failure domain; empty: the machine's name."""
    rack: str = Field(default="", max_length=LIMITS.label_bytes_max)
    """Label of the failure domain over hosts."""
    weight: int = Field(default=0, ge=0, le=(1 << 32) - 1)
    """Share of the groups, relative to other nodes; 0: the arena's MiB."""
    arena_mib: int = Field(ge=1, le=16 << 20)
    """Memory for blocks, MiB; a multiple of `extent_mib`."""
    extent_mib: int = Field(default=16, ge=1, le=256)
    """Unit in which memory moves between tenants and block sizes, MiB; a power of two."""
    prefault: bool = True
    """Touch every page at start, so that no request waits for one."""
    huge_pages: bool = True
    """Ask for huge pages; without them the node works, more slowly."""
    stop_deadline_ms: int = Field(default=5_000, ge=0, le=600_000)
    """How long requests in flight may go on after SIGTERM."""
    metadata_deadline_ms: int = Field(default=2_000, ge=100, le=60_000)
    """Longest time of one call to a metadata member."""
    join_deadline_s: int = Field(default=60, ge=1, le=86_400)
    """How long the daemon looks for the metadata cluster at its start before it gives up."""
    fault_injection: bool = False
    """Lets tests damage stored blocks. Never set it where data matters."""
    serving: ServingConfig = ServingConfig()
    workers: WorkersConfig = WorkersConfig()
    metrics: MetricsConfig = MetricsConfig()
    log: LogConfig = LogConfig()

    @property
    def arena_bytes(self) -> int:
        """Memory for blocks, bytes."""
        return self.arena_mib * MIB

    @property
    def placement_weight(self) -> int:
        """The weight that the cluster is told."""
        return self.weight or self.arena_mib

    @model_validator(mode="after")
    def _check(self) -> DataNodeConfig:
        if self.extent_mib & (self.extent_mib - 1):
            raise ValueError(f"extent_mib is {self.extent_mib}, it must be a power of two")
        if self.arena_mib % self.extent_mib:
            raise ValueError(
                f"arena_mib is {self.arena_mib}, it must be a multiple of extent_mib "
                f"({self.extent_mib})"
            )
        if self.unix_path is not None:
            length = len(str(self.unix_path).encode())
            if length > _UNIX_PATH_BYTES_MAX:
                raise ValueError(
                    f"unix_path has {length} bytes, the kernel takes {_UNIX_PATH_BYTES_MAX}"
                )
        self._check_reach()
        host = split_address(self.listen)[0]
        if self.advertise is None and host in ("0.0.0.0", "::"):
            raise ValueError(
                f"listen {self.listen!r} is no address that others can use: set advertise to "
                "the host:port at which they reach this node"
            )
        return self

    def _check_reach(self) -> None:
        """Refuses plain text between machines unless that was asked for."""
        if self.insecure_network:
            return
        for member in self.members:
            if self.members_authority is None and not is_loopback(split_address(member)[0]):
                raise ValueError(
                    f"member {member!r} is on another machine: name the certificate authority of "
                    "the members (members_authority), or set insecure_network = true if that "
                    "network is trusted"
                )
        for field, address in (("listen", self.listen), ("metrics.listen", self.metrics.listen)):
            if address is not None and not is_loopback(split_address(address)[0]):
                raise ValueError(
                    f"{field} {address!r} can be reached by other machines, and what is served "
                    "there is not encrypted: listen on 127.0.0.1, or set insecure_network = true "
                    "if everyone on that network may read and write every block"
                )


def load_config(path: Path) -> DataNodeConfig:
    """Reads a TOML file; relative paths in it are relative to its folder.

    Raises ConfigInvalid that names the file, each wrong field and what it must be.
    """
    try:
        check_config_size(path)
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigInvalid(f"configuration {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"configuration {path} is not TOML: {error}") from error
    for field in ("data_directory", "unix_path", "members_authority"):
        if isinstance(values.get(field), str):
            values[field] = path.resolve().parent / values[field]
    try:
        return DataNodeConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigInvalid(f"configuration {path}: {config_faults(error)}") from error
