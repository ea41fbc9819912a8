"""How the metadata cluster is known on a network that others use, too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

from holdfast.errors import ConfigInvalid


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files for the connections to metadata members. Needed wherever they are not loopback."""

    authority: Path
    """Certificate authority that signed the members' certificates."""
    certificate: Path | None = None
    """This side's certificate, where members ask for one."""
    private_key: Path | None = None
    """Its key."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.private_key is None):
            raise ConfigInvalid("a certificate and its private key go together: give both")

    def credentials(self) -> grpc.ChannelCredentials:
        """What gRPC needs. Raises ConfigInvalid for a file that cannot be read."""
        return grpc.ssl_channel_credentials(
            root_certificates=_read(self.authority),
            certificate_chain=_read(self.certificate),
            private_key=_read(self.private_key),
        )


def _read(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigInvalid(f"TLS file {path} cannot be read: {error.strerror}") from error
