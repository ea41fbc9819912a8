"""Who this node is: kept in its data directory, which one process at a time may use."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from holdfast_kvstore.errors import ConfigInvalid, Corrupt, VersionSkew

_FORM_VERSION = 1


@dataclass(frozen=True, slots=True)
class Identity:
    """What the cluster gave this node at its first join; it lasts as long as the directory."""

    node: int
    """The node's id, at least 1."""
    cluster_id: bytes
    """16 bytes."""


def write_durably(path: Path, data: bytes) -> None:
    """Replaces a file in one step; once this returns the new content survives a power cut."""
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class DataDirectory:
    """The node's folder, locked while this object is entered."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = -1

    @property
    def identity_file(self) -> Path:
        """JSON {"version", "node", "cluster_id"}."""
        return self.path / "identity.json"

    @property
    def ready_file(self) -> Path:
        """Exists while the node serves; JSON with its addresses."""
        return self.path / "ready.json"

    def __enter__(self) -> Self:
        """Makes and locks the folder. Raises ConfigInvalid if another process uses it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigInvalid(f"data_directory {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._unlock()
            raise ConfigInvalid(
                f"data_directory {self.path} is in use by another data node: "
                "give each node a directory of its own"
            ) from None
        self.ready_file.unlink(missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self.ready_file.unlink(missing_ok=True)
        self._unlock()

    def _unlock(self) -> None:
        os.close(self._lock)
        self._lock = -1

    def load_identity(self) -> Identity | None:
        """The stored identity, or None before the first join. Raises Corrupt or VersionSkew."""
        try:
            text = self.identity_file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            match json.loads(text):
                case {"version": int(version)} if version != _FORM_VERSION:
                    raise VersionSkew("identity file", str(_FORM_VERSION), str(version))
                case {"node": int(node), "cluster_id": str(cluster)} if node > 0:
                    cluster_id = bytes.fromhex(cluster)
                    if len(cluster_id) == 16:
                        return Identity(node, cluster_id)
        except ValueError as error:
            raise Corrupt(f"{self.identity_file} is not JSON: {error}") from error
        raise Corrupt(
            f"{self.identity_file} names no node and cluster: restore it, or remove it to let this "
            "node join under a new id"
        )

    def set_identity_aside(self, identity: Identity) -> Path:
        """Forgets `identity`, which the cluster removed; returns the file that remembers it."""
        aside = self.path / f"identity-removed-{identity.node}.json"
        self.identity_file.replace(aside)
        return aside

    def store_identity(self, identity: Identity) -> None:
        """Keeps `identity` durably."""
        form = {
            "version": _FORM_VERSION,
            "node": identity.node,
            "cluster_id": identity.cluster_id.hex(),
        }
        write_durably(self.identity_file, json.dumps(form).encode() + b"\n")
