"""How a command reaches the cluster: flags first, then environment, then the context file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from holdfast._admin import AdminClient
from holdfast._cluster import Cluster, connect
from holdfast._context import check_named
from holdfast._credentials import load_api_key
from holdfast._limits import Timeouts
from holdfast._members import split_addresses
from holdfast._metadata import UNREACHED
from holdfast._session import Transport
from holdfast._tls import Tls
from holdfast.errors import ConfigInvalid, Unavailable
from holdfast_kvstore.secret import load_secret


@dataclass(frozen=True, slots=True)
class Reach:
    """What the global options said; secrets by reference only."""

    address: str
    tenant: str
    key: str
    secret: str
    authority: str
    deadline_s: float
    context_path: Path | None
    """The context file, if it was named."""
    address_from: Path | None = None
    """The context file, if the address was read there."""

    def check_context(self) -> None:
        """Raises ConfigInvalid if the context file was named and does not exist. Not every command
        needs one."""
        if self.context_path is not None:
            check_named(self.context_path)

    @contextmanager
    def admin(self) -> Iterator[AdminClient]:
        """Operators' calls. Raises ConfigInvalid when address or secret are not known."""
        self.check_context()
        self._need("address", self.address)
        self._need("secret", self.secret)
        secret = load_secret(self.secret, what="cluster's secret")
        addresses = split_addresses(self.address)
        with (
            self._naming_context_file(),
            AdminClient(addresses, secret, self.deadline_s, self._tls) as admin,
        ):
            yield admin

    @contextmanager
    def cluster(self, transport: Transport = "auto") -> Iterator[Cluster]:
        """A tenant's cluster object. Raises ConfigInvalid when something is not known."""
        self.check_context()
        self._need("address", self.address)
        self._need("tenant", self.tenant)
        self._need("key", self.key)
        opened = connect(
            self.address,
            tenant=self.tenant,
            key=load_api_key(self.key),  # by reference only: command lines are seen by others
            transport=transport,
            tls=self._tls,
            timeouts=Timeouts(metadata_s=self.deadline_s),
        )
        with self._naming_context_file(), opened as cluster:
            yield cluster

    @contextmanager
    def _naming_context_file(self) -> Iterator[None]:
        """An address that nobody typed is told where it came from, if nobody answers there."""
        try:
            yield
        except Unavailable as error:
            if self.address_from is None or error.details.get("reason") != UNREACHED:
                raise
            raise Unavailable(
                f"{error.message}; the address comes from context file {self.address_from}: is "
                "`holdfast up` still running?",
                **error.details,
            ) from error

    @property
    def _tls(self) -> Tls | None:
        return Tls(Path(self.authority)) if self.authority else None

    def _need(self, what: str, value: str) -> None:
        if not value:
            raise ConfigInvalid(
                f"{what} is not known: give --{what} before the command, set "
                f"HOLDFAST_{what.upper()}, or start a cluster here with `holdfast up`"
            )


def reach_of(context: typer.Context) -> Reach:
    """What the main callback left for the command."""
    found = context.obj
    if not isinstance(found, Reach):
        raise TypeError(f"the main callback left {found!r} instead of how to reach the cluster")
    return found
