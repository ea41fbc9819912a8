"""A state machine in memory, driven by commands."""

from __future__ import annotations

from typing import Any

from holdfast_kvstore.cluster_map import ClusterMap
from holdfast_kvstore.errors import HoldfastError, from_wire
from holdfast_metanode.api_keys import hash_key
from holdfast_metanode.state.levels import LEVEL_MAX
from holdfast_metanode.state.machine import Applied, StateMachine
from holdfast_metanode.store import MemoryStore, Store
from holdfast_proto import command_pb2 as records

START_MS = 1_800_000_000_000


class MachineRig:
    """Applies one command at a time and raises what it was refused with."""

    def __init__(self, store: Store | None = None, *, groups: int = 16, width: int = 2) -> None:
        self.store: Store = store or MemoryStore()
        self.machine = StateMachine(self.store)
        self.now_ms = START_MS
        self.index = self.machine.applied().index
        if self.index == 0:
            self.machine.start_at(1, 1, b"")
            self.index = 1
            self.apply(
                bootstrap_cluster=records.BootstrapCluster(
                    cluster_id=b"0123456789abcdef",
                    signing_key=b"s" * 32,
                    group_count=groups,
                    width=width,
                    members=[
                        records.RegisterMember(id=1, address="127.0.0.1:1", level_max=LEVEL_MAX)
                    ],
                )
            )

    def raw(self, command: records.Command) -> records.Result:
        """The result as it is stored."""
        self.index += 1
        entry = Applied(self.index, 1, command.SerializeToString())
        return records.Result.FromString(self.machine.apply([entry])[0])

    def apply(
        self, client: bytes = b"", sequence: int = 0, version: int = 1, **operation: Any
    ) -> records.Result:
        command = records.Command(
            version=version,
            client_id=client,
            sequence=sequence,
            stamped_at_ms=self.now_ms,
            **operation,
        )
        result = self.raw(command)
        if result.WhichOneof("outcome") == "failure":
            failure = result.failure
            raise from_wire(failure.code, failure.message, failure.details)
        return result

    def refusal(self, version: int = 1, **operation: Any) -> HoldfastError:
        """The error of a command that must be refused."""
        try:
            self.apply(version=version, **operation)
        except HoldfastError as error:
            return error
        raise AssertionError("the command was not refused")

    def create_tenant(self, name: str = "t") -> records.TenantRecord:
        key = hash_key(f"key of {name}", b"salt" * 4)
        command = records.CreateTenant(name=name, key=key)
        return self.apply(create_tenant=command).tenant

    def join(self, incarnation: int = 1, node_id: int = 0, **more: Any) -> int:
        more.setdefault("tcp_address", f"127.0.0.1:{9000 + self.index}")
        more.setdefault("weight", 1)
        more.setdefault("host", f"host-{self.index}")
        command = records.JoinNode(id=node_id, incarnation=incarnation, **more)
        return self.apply(join_node=command).node.id

    def place(self) -> ClusterMap:
        """Gives groups to nodes as the planner would."""
        from holdfast_kvstore.placement import place

        before = self.map()
        owners = place(before.nodes, before.group_count, before.width, before.owners)
        self.apply(
            set_placement=records.SetPlacement(
                base_epoch=before.epoch, owners=owners.astype("<i2").tobytes()
            )
        )
        return self.map()

    def map(self) -> ClusterMap:
        with self.machine.view() as view:
            return view.map()
