"""Members that speak TLS to each other and to clients."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from holdfast_proto import meta_pb2 as meta
from holdfast_proto.meta_pb2_grpc import AdminStub
from tests.metanode.member_processes import Members, wait_until
from tests.metanode.metadata_client import signed

pytestmark = [pytest.mark.process, pytest.mark.slow]


def make_certificate(folder: Path) -> None:
    """A self-signed certificate for 127.0.0.1 that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "holdfast test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "tls.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def test_three_members_over_tls(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    pem, key = tmp_path / "tls.pem", tmp_path / "tls.key"
    files = f'certificate = "{pem}"\nkey = "{key}"\nauthority = "{pem}"'
    with Members(tmp_path, 3, tls=files) as members:
        authority = grpc.ssl_channel_credentials(pem.read_bytes())
        request = meta.StatusRequest()
        for member in members.members:
            with grpc.secure_channel(member.address, authority) as channel:
                stub = AdminStub(channel)

                def agrees(stub: AdminStub = stub) -> bool:
                    metadata = signed(members.secret, "/holdfast.v1.Admin/Status", request)
                    try:
                        status = stub.Status(request, metadata=metadata, timeout=2)
                    except grpc.RpcError:
                        return False
                    return bool(status.leader_id and status.cluster_id)

                wait_until(f"member {member.id} to follow a leader over TLS", agrees)
        with grpc.insecure_channel(members.members[0].address) as plain:
            metadata = signed(members.secret, "/holdfast.v1.Admin/Status", request)
            with pytest.raises(grpc.RpcError):
                AdminStub(plain).Status(request, metadata=metadata, timeout=2)
