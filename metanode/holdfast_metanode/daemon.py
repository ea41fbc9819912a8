"""The metadata daemon: the one place where its parts are made and joined."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc.aio
import structlog

from holdfast_kvstore.errors import ConfigInvalid, HoldfastError
from holdfast_kvstore.secret import load_secret
from holdfast_metanode import identity, logs
from holdfast_metanode.clock import SystemClock
from holdfast_metanode.config import MetanodeConfig
from holdfast_metanode.entrance import Entrance, Registrar
from holdfast_metanode.gateway import Gateway
from holdfast_metanode.planner.duties import LeaderDuties
from holdfast_metanode.planner.failure_detector import FailureDetector
from holdfast_metanode.raft.channels import OPTIONS, Channels, TlsFiles
from holdfast_metanode.raft.host import HostConfig, RaftHost
from holdfast_metanode.raft.jobs import ThreadJobs
from holdfast_metanode.raft.peers import PeerNetwork
from holdfast_metanode.raft.requests import Item
from holdfast_metanode.raft.roster import Roster
from holdfast_metanode.raft.seams import TurnReport
from holdfast_metanode.raft.snapshots import SnapshotLimits
from holdfast_metanode.raft.start import recover
from holdfast_metanode.raft.thread import HostThread
from holdfast_metanode.services.guard import Guard
from holdfast_metanode.services.hub import ViewHub
from holdfast_metanode.services.member_context import MemberContext
from holdfast_metanode.services.registry import Health, add_services
from holdfast_metanode.state.machine import StateMachine
from holdfast_metanode.store import LmdbStore
from holdfast_metanode.ticket_office import TicketOffice
from holdfast_native import NativeError, RaftConfig, RaftLog, RaftLogInUseError

_LOG = structlog.get_logger("daemon")
_SWITCH_INTERVAL_S = 0.0005
_BACKGROUND_JOBS_MAX = 2
_HAND_OVER_S = 0.5


class Metanode:
    """One metadata member in this process. Made and used on one event loop."""

    def __init__(self, config: MetanodeConfig) -> None:
        self._config = config
        self._clock = SystemClock()
        self._secret = load_secret(config.cluster.secret)
        self._tls = None if config.tls is None else TlsFiles.read(config.tls)
        self._loop = asyncio.get_running_loop()
        self._failure: asyncio.Future[None] = self._loop.create_future()
        self._tasks: list[asyncio.Task[None]] = []
        identity.claim(config.member.data, config.member.id)
        self._roster = Roster({m.id: m.address for m in config.cluster.initial_members})
        self._channels = Channels(self._secret, self._clock, self._tls)
        self._executor = ThreadPoolExecutor(_BACKGROUND_JOBS_MAX, "raft-job")
        self._log = _open_log(config.member.data)
        self._store = LmdbStore(config.member.data / "state", config.raft.state_bytes_max)
        self._machine = StateMachine(self._store)
        self._hub = ViewHub(self._machine)
        self._host = self._make_host()
        self._gateway = Gateway(self._host, self._clock, config.raft.command_deadline_ms)
        self._thread = HostThread(self._host, self._fatal)
        self._server = grpc.aio.server(
            interceptors=[Guard(self._secret, self._clock)], options=OPTIONS
        )
        self.address = ""
        """Where the others reach this member; known after `start`."""

    def _make_host(self) -> RaftHost:
        config = self._config
        raft = config.raft
        host_config = HostConfig(
            RaftConfig(
                config.member.id,
                election_ticks=raft.election_ticks,
                heartbeat_ticks=raft.heartbeat_ticks,
            ),
            raft.tick_ms,
            raft.inbox_items_max,
            SnapshotLimits(
                raft.compact_entries,
                raft.compact_bytes,
                raft.keep_entries,
                raft.snapshot_transfer_ms,
            ),
        )
        founders = [member.id for member in config.cluster.initial_members]
        recovered = recover(self._log, self._machine, self._store, founders)
        self._network = PeerNetwork(
            config.member.id, self._roster, self._channels, self._cluster_id, self._report,
            self._loop,
        )  # fmt: skip
        return RaftHost(
            host_config,
            recovered,
            log=self._log,
            machine=self._machine,
            store=self._store,
            clock=self._clock,
            network=self._network,
            jobs=ThreadJobs(self._executor),
            seed=int.from_bytes(os.urandom(8), "little"),
            address_of=self._roster.address_of,
            tell=self._tell,
        )

    def _cluster_id(self) -> bytes:
        with self._machine.view() as view:
            return view.cluster().cluster_id if view.founded() else b""

    def _report(self, item: Item) -> None:
        with suppress(HoldfastError):  # a full inbox: the next heartbeat finds out as well
            self._host.submit(item)

    # ------------------------------------------------------------------------ between threads

    def _tell(self, report: TurnReport) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it everyone who waited
            self._loop.call_soon_threadsafe(self._heard, report)

    def _heard(self, report: TurnReport) -> None:
        if report.applied:
            self._learn_members()
            self._hub.poke()
        report.tell()

    def _learn_members(self) -> None:
        with self._machine.view() as view:
            self._roster.learn((member.id, member.address) for member in view.members())

    def _fatal(self, error: BaseException) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._fail, error)

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)

    # ------------------------------------------------------------------------ life

    async def start(self) -> None:
        """Listens and takes part. Raises ConfigInvalid when the address cannot be had."""
        self.address = self._listen()
        member = self._context()
        self._health = add_services(self._server, member)
        self._learn_members()
        self._hub.poke()
        await self._server.start()
        self._thread.start()
        entrance = Entrance(self._channels, self._config.member.id, self.address)
        self._spawn(LeaderDuties(member, self.address).run())
        self._spawn(Registrar(entrance, member, self.address).run())
        self._spawn(Health(self._health, member).run())
        _LOG.info("listening", address=self.address, id=self._config.member.id)
        if self._config.member.ready_file is not None:
            _write_whole(self._config.member.ready_file, f"{self.address}\n")

    def _listen(self) -> str:
        listen = self._config.member.listen
        try:
            if self._tls is None:
                port = self._server.add_insecure_port(listen)
            else:
                port = self._server.add_secure_port(listen, self._tls.server_credentials())
        except RuntimeError as error:
            raise ConfigInvalid(f"member.listen: cannot listen on {listen}: {error}") from error
        return self._config.member.advertise or f"{listen.rpartition(':')[0]}:{port}"

    def _context(self) -> MemberContext:
        config = self._config
        return MemberContext(
            config=config,
            clock=self._clock,
            secret=self._secret,
            store=self._store,
            machine=self._machine,
            host=self._host,
            gateway=self._gateway,
            roster=self._roster,
            hub=self._hub,
            detector=FailureDetector(config.nodes.down_after_ms, config.nodes.out_after_ms),
            tickets=TicketOffice(self._clock, config.ticket_life_s),
        )

    def _spawn(self, duty: Any) -> None:
        task: asyncio.Task[None] = self._loop.create_task(duty)
        task.add_done_callback(self._duty_ended)
        self._tasks.append(task)

    def _duty_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    async def failed(self) -> None:
        """Waits for what this member cannot survive, and raises it."""
        await asyncio.shield(self._failure)

    async def _hand_over(self) -> None:
        """Makes the most advanced other voter lead, so that nobody waits for an election."""
        status = self._host.status
        voters = set(status.configuration.voters) - {self._config.member.id}
        able = [
            found for found in status.progress
            if found.member_id in voters and found.recently_active
        ]  # fmt: skip
        if not self._host.standing.leads or not able:
            return
        heir = max(able, key=lambda found: found.matched)
        with suppress(HoldfastError):
            await self._gateway.transfer_leader(heir.member_id)
            await self._gateway.stands_down(_HAND_OVER_S)

    async def stop(self) -> None:
        """Hands leadership over, ends calls and threads, closes files."""
        ready_file = self._config.member.ready_file
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._hand_over()
        self._hub.close()
        grace_s = self._config.member.stop_deadline_ms / 1000
        await self._server.stop(min(grace_s / 4, 1.0))
        await self._network.close()
        stopped = await asyncio.to_thread(self._thread.stop, grace_s / 2)
        self._executor.shutdown(wait=False, cancel_futures=True)
        if stopped:
            self._log.close()
        self._store.close()
        if not self._failure.done():
            self._failure.cancel()
        _LOG.info("stopped", clean=stopped)


def _open_log(data: Path) -> RaftLog:
    try:
        return RaftLog.open(data / "raft")
    except RaftLogInUseError as error:
        raise ConfigInvalid(
            f"member.data {data} is in use by another member: give each member a folder of its own"
        ) from error


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.rename(path)


async def serve(config: MetanodeConfig) -> None:
    """Runs one member until SIGTERM or SIGINT. Raises what it cannot survive."""
    loop = asyncio.get_running_loop()
    wanted = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, wanted.set)
    node = Metanode(config)
    ends = [asyncio.ensure_future(wanted.wait()), asyncio.ensure_future(node.failed())]
    try:
        await node.start()
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in ends:
            task.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        deadline_s = config.member.stop_deadline_ms / 1000
        await asyncio.wait_for(node.stop(), deadline_s)


def run(config: MetanodeConfig) -> int:
    """Runs the daemon; its exit status. 0: asked to stop, 1: failed, 2: wrong configuration."""
    logs.configure(config.log_level, config.member.id)
    # Host and services share the interpreter: neither waits long for the other.
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    try:
        asyncio.run(serve(config))
    except ConfigInvalid as error:
        print(f"holdfast metanode: {error.message}", file=sys.stderr)
        return 2
    except (HoldfastError, NativeError) as error:
        print(f"holdfast metanode: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        _LOG.critical("member failed", error=repr(error), exc_info=True)
        return 1
    return 0
