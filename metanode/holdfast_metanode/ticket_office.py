"""Mints tickets with the cluster's signing key. Any member does: the key is in the state."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast_kvstore.spaces import SpaceSpec
from holdfast_kvstore.tickets import Ticket, TicketKind, mint
from holdfast_metanode.clock import Clock
from holdfast_proto import command_pb2 as records
from holdfast_proto import meta_pb2 as meta

_BACKDATED_S = 5  # a data node's clock may lag a little


class TicketOffice:
    """`life_s`: from issue to end of every ticket."""

    def __init__(self, clock: Clock, life_s: int) -> None:
        self._clock = clock
        self._life_s = life_s
        self._keys: dict[bytes, Ed25519PrivateKey] = {}

    def for_tenant(self, cluster: records.ClusterRecord, tenant_number: int) -> meta.Ticket:
        """Opens connections in the tenant's name."""
        return self._mint(cluster, TicketKind.TENANT, tenant=tenant_number)

    def for_space(self, cluster: records.ClusterRecord, spec: SpaceSpec) -> meta.Ticket:
        """Binds one space. Data nodes see what they store of it: chunks, each of one owner."""
        return self._mint(
            cluster,
            TicketKind.SPACE,
            tenant=spec.tenant_number,
            space=spec.number,
            block_bytes=spec.chunk_bytes,
            ttl_s=spec.ttl_s,
            priority=spec.priority,
            copies=spec.redundancy.owners,
        )

    def for_node(self, cluster: records.ClusterRecord, node_id: int) -> meta.Ticket:
        """Lets one data node read what its peers hold."""
        return self._mint(cluster, TicketKind.NODE, node=node_id)

    def _mint(
        self, cluster: records.ClusterRecord, kind: TicketKind, **numbers: int
    ) -> meta.Ticket:
        now_s = self._clock.unix_ms() // 1000
        ticket = Ticket(
            kind=kind,
            cluster_id=cluster.cluster_id,
            issued_at_s=now_s - _BACKDATED_S,
            expires_at_s=now_s + self._life_s,
            **numbers,
        )
        signing_key = cluster.signing_keys[0]
        key = self._keys.get(signing_key)
        if key is None:
            key = Ed25519PrivateKey.from_private_bytes(signing_key)
            self._keys = {signing_key: key}
        return meta.Ticket(bytes=mint(key, ticket), lifetime_ms=self._life_s * 1000)
