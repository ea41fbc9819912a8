"""Metadata members as real processes, for tests that kill them."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from holdfast_kvstore.errors import HoldfastError
from holdfast_kvstore.secret import Secret, load_secret
from holdfast_proto import meta_pb2 as meta
from tests.metanode.metadata_client import MetadataClient

PAUSE = threading.Event()
"""Never set: its wait is the pause between two looks."""
FOLDERS = ("proto", "kvstore", "metanode")


def wait_until(what: str, check: Callable[[], Any], deadline_s: float = 20) -> Any:
    """Waits for a true value of `check`; an error of the cluster counts as not yet."""
    until = time.monotonic() + deadline_s
    last: object = None
    while time.monotonic() < until:
        try:
            last = check()
            if last:
                return last
        except HoldfastError as error:
            last = error
        PAUSE.wait(0.02)
    raise AssertionError(f"waited {deadline_s} s for {what}, last seen: {last!r}")


def free_ports(count: int) -> list[int]:
    opened = [socket.socket() for _ in range(count)]
    for one in opened:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in opened]
    for one in opened:
        one.close()
    return ports


class Member:
    """One member's process, configuration and log."""

    def __init__(self, folder: Path, member_id: int, port: int) -> None:
        self.id = member_id
        self.address = f"127.0.0.1:{port}"
        self.folder = folder
        self.data = folder / f"data-{member_id}"
        self.config = folder / f"member-{member_id}.toml"
        self.log = folder / f"member-{member_id}.log"
        self.ready = folder / f"ready-{member_id}"
        self.process: subprocess.Popen[bytes] | None = None

    def write_config(self, cluster: str) -> None:
        self.config.write_text(
            f"""[member]
id = {self.id}
data = "{self.data}"
listen = "{self.address}"
ready_file = "{self.ready}"
[cluster]
secret = "file:{self.folder / "secret"}"
planned_nodes = 4
{cluster}
"""
        )

    def start(self) -> None:
        root = Path(__file__).resolve().parents[2]
        paths = [str(root / folder) for folder in FOLDERS]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "holdfast_metanode", "--config", str(self.config)],
                stderr=log,
                stdout=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            )

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(15)


class Members:
    """A metadata cluster of processes in one folder."""

    def __init__(self, folder: Path, count: int, raft: str = "", tls: str = "") -> None:
        self.folder = folder
        self._raft = raft or "tick_ms = 50"
        self._tls = f"[tls]\n{tls}\n" if tls else ""
        (folder / "secret").write_text(secrets.token_hex(16))
        self.secret: Secret = load_secret(f"file:{folder / 'secret'}")
        self.members = [
            Member(folder, number, port) for number, port in enumerate(free_ports(count), start=1)
        ]
        listed = ", ".join(f'{{id = {m.id}, address = "{m.address}"}}' for m in self.members)
        for member in self.members:
            self._write(member, f"initial_members = [{listed}]")
        self._clients: list[MetadataClient] = []

    def _write(self, member: Member, cluster: str) -> None:
        member.write_config(f"{cluster}\n[raft]\n{self._raft}\n{self._tls}")

    def __enter__(self) -> Members:
        for member in self.members:
            member.start()
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        for member in self.members:
            if member.running:
                member.signal(signal.SIGCONT)
            member.kill()

    def add(self, member_id: int) -> Member:
        """A member that asks the present ones to let it in; not started yet."""
        member = Member(self.folder, member_id, free_ports(1)[0])
        joins = ", ".join(f'"{present.address}"' for present in self.members)
        self._write(member, f"join = [{joins}]")
        self.members.append(member)
        return member

    def member(self, member_id: int) -> Member:
        return next(member for member in self.members if member.id == member_id)

    def client(self) -> MetadataClient:
        client = MetadataClient([member.address for member in self.members], self.secret)
        self._clients.append(client)
        return client

    def status_of(self, member: Member) -> meta.StatusReply:
        client = self._clients[0] if self._clients else self.client()
        reply: meta.StatusReply = client.call_at(
            member.address, "Admin", "Status", meta.StatusRequest(), timeout_s=1
        )
        return reply

    def leader(self) -> Member:
        """Waits for a member that leads and whose followers agree."""

        def find() -> Member | None:
            for member in self.members:
                if not member.running:
                    continue
                try:
                    status = self.status_of(member)
                except HoldfastError:
                    continue
                if status.leader_id == member.id and status.cluster_id:
                    return member
            return None

        found: Member = wait_until("a leader", find)
        return found

    def wait_applied(self, index: int) -> None:
        """Waits until every running member has applied `index`."""
        for member in self.members:
            if member.running:
                wait_until(
                    f"index {index} at member {member.id}", partial(self._is_at, member, index)
                )

    def _is_at(self, member: Member, index: int) -> bool:
        return self.status_of(member).applied_index >= index

    def logs(self) -> str:
        return "\n".join(member.log.read_text()[-4000:] for member in self.members)
