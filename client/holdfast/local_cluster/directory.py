"""Where a local cluster keeps its files, and what it must find again after a restart."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from holdfast.errors import ConfigInvalid, FailedPrecondition
from holdfast.local_cluster.layout import LocalLayout, free_ports

FORM_VERSION = 1
SOCKET_PATH_BYTES_MAX = 100
SECRET_BYTES = 32
_PREFIX = "holdfast-"
_TEMPORARY = "temporary"
"""Lies in temporary folders, from when they are locked: not locked any more, their maker died."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports on the loopback, kept over restarts so that members find each other again."""

    metadata: tuple[int, ...]
    data: tuple[int, ...]


class ClusterDirectory:
    """One folder: cluster.json, the cluster's secret, the tenant's key, a folder for each daemon.

    Without a path it is a temporary one that `remove` deletes.
    """

    def __init__(self, path: Path | None) -> None:
        self.temporary = path is None
        if path is None:
            _sweep(Path(tempfile.gettempdir()))
            path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self.path = path.resolve()
        self.path.mkdir(parents=True, exist_ok=True)
        self._socket_folder: Path | None = None
        self._lock = -1

    @property
    def secret_path(self) -> Path:
        """The cluster's secret."""
        return self.path / "cluster.secret"

    @property
    def key_path(self) -> Path:
        """The tenant's API key."""
        return self.path / "tenant.key"

    def lock(self) -> None:
        """Keeps others from starting a cluster here until `remove`, or until this process ends.
        Raises FailedPrecondition while one runs."""
        descriptor = _locked(self.path)
        if descriptor is None:
            raise FailedPrecondition(
                f"a cluster runs in {self.path} already: stop it first, or use another folder"
            )
        self._lock = descriptor
        if self.temporary:
            (self.path / _TEMPORARY).touch()

    def is_new(self) -> bool:
        """Whether no cluster was started here before."""
        return not (self.path / "cluster.json").exists()

    def create(self, layout: LocalLayout) -> Ports:
        """Chooses ports, draws the secret and notes what the cluster consists of."""
        found = free_ports(layout.metadata_nodes + layout.data_nodes)
        members = layout.metadata_nodes
        ports = Ports(metadata=tuple(found[:members]), data=tuple(found[members:]))
        write_private(self.secret_path, secrets.token_hex(SECRET_BYTES))
        self._store(layout, ports)
        return ports

    def reopen(self, layout: LocalLayout) -> Ports:
        """The ports of a cluster that was started here before; data nodes may be more or fewer.

        Raises FailedPrecondition for another number of metadata members or another tenant than
        the one whose key lies here, ConfigInvalid for a file that is not as it was written.
        """
        path = self.path / "cluster.json"
        try:
            form = json.loads(path.read_text())
            if form["version"] != FORM_VERSION:
                raise ConfigInvalid(
                    f"{path} has version {form['version']}, this program reads {FORM_VERSION}"
                )
            ports = Ports(tuple(form["ports"]["metadata"]), tuple(form["ports"]["data"]))
            tenant = str(form["layout"]["tenant"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigInvalid(f"{path} was not written by this program: {error}") from error
        if len(ports.metadata) != layout.metadata_nodes:
            raise FailedPrecondition(
                f"{self.path} holds a cluster of {len(ports.metadata)} metadata members, not "
                f"{layout.metadata_nodes}: start it with {len(ports.metadata)}, then use "
                "`holdfast member add`"
            )
        if tenant != layout.tenant and self.key_path.exists():
            raise FailedPrecondition(
                f"{self.path} holds a cluster with tenant {tenant!r}, not {layout.tenant!r}: start "
                f"it with --tenant {tenant}, then use `holdfast tenant create {layout.tenant}`"
            )
        missing = max(0, layout.data_nodes - len(ports.data))
        ports = Ports(ports.metadata, (*ports.data, *free_ports(missing)))
        self._store(layout, ports)
        return ports

    def daemon(self, name: str) -> Path:
        """The folder of one daemon."""
        path = self.path / name
        path.mkdir(exist_ok=True)
        return path

    def socket_path(self, name: str) -> Path:
        """Where a data node's Unix socket lies; elsewhere if the folder's name is too long."""
        path = self.path / f"{name}.sock"
        if len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX:
            return path
        if self._socket_folder is None:
            self._socket_folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        return self._socket_folder / f"{name}.sock"

    def remove(self) -> None:
        """Deletes what is temporary, and lets others start a cluster here."""
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
        if self.temporary:
            shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            # Not only closed: a process forked meanwhile has the descriptor, too.
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            os.close(self._lock)
            self._lock = -1

    def _store(self, layout: LocalLayout, ports: Ports) -> None:
        form = {"version": FORM_VERSION, "layout": asdict(layout), "ports": asdict(ports)}
        beside = self.path / "cluster.json.new"
        beside.write_text(json.dumps(form, indent=2) + "\n")
        beside.replace(self.path / "cluster.json")


def _locked(folder: Path) -> int | None:
    """The descriptor that holds the lock of a cluster's folder; None while another one does."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _sweep(parent: Path) -> None:
    """Deletes this user's temporary folders whose makers were killed: they hold secrets."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # it went meanwhile
            own = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
            if not own or not (folder / _TEMPORARY).exists():
                continue
            descriptor = _locked(folder)
            if descriptor is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(descriptor)


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text + "\n")
