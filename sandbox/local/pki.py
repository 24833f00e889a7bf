"""The cluster's certificates: one small authority, made anew for each node.

Rules of this module:

* One certificate per client, with the name and group its role has in Kubernetes
  (default cluster roles of system components); only `admin` may do everything.
* Keys are ECDSA P-256 (FIPS 186-5) and lie unencrypted, readable by the owner alone, in
  a directory that the owner alone may enter.
* A certificate is good for 90 days: longer than any node of this machine lives.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFE = timedelta(days=90)
CONTEXT = "sandbox-local"
"""Name of the context in every kubeconfig made here."""


class Authority(NamedTuple):
    """A certificate authority and the instant its certificates begin."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    directory: Path
    now: datetime


class Subject(NamedTuple):
    """Whom a certificate names, and the addresses a server answers at."""

    name: str
    group: str = ""
    hosts: tuple[str, ...] = ()


def client_subjects(node_name: str) -> dict[str, Subject]:
    """Return the subject of every client certificate, by file name."""
    return {
        "admin": Subject("admin", "system:masters"),
        "kubelet-client": Subject("kube-apiserver-kubelet-client", "system:masters"),
        "kubelet": Subject(f"system:node:{node_name}", "system:nodes"),
        "controller-manager": Subject("system:kube-controller-manager"),
        "scheduler": Subject("system:kube-scheduler"),
        "proxy": Subject("system:kube-proxy"),
        "network-policies": Subject("sandbox:network-policies"),
    }


def make_authority(directory: Path, *, now: datetime) -> Authority:
    """Make a certificate authority and keep it as `ca.crt` and `ca.key`.

    Args:
        directory: Where keys and certificates lie; made with mode 0700.
        now: The present instant.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(Subject("sandbox-local-authority"))
    builder = (
        _builder(name, key.public_key(), now)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(_identifier(key.public_key()), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256())
    _write(directory / "ca", certificate, key)
    return Authority(certificate, key, directory, now)


def issue(authority: Authority, file: str, subject: Subject) -> None:
    """Issue a certificate and keep it as `{file}.crt` and `{file}.key`.

    With hosts it also serves; without, it is good for clients only.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        _builder(_name(subject), key.public_key(), authority.now)
        .issuer_name(authority.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(
                authority.key.public_key()
            ),
            critical=False,
        )
    )
    if subject.hosts:
        uses.append(ExtendedKeyUsageOID.SERVER_AUTH)
        builder = builder.add_extension(_alternatives(subject.hosts), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    _write(
        authority.directory / file, builder.sign(authority.key, hashes.SHA256()), key
    )


def make_account_keys(directory: Path) -> None:
    """Make the key pair that signs service account tokens: `sa.key`, `sa.pub`."""
    key = ec.generate_private_key(ec.SECP256R1())
    _write_private(directory / "sa.key", _private_text(key))
    (directory / "sa.pub").write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def write_kubeconfig(directory: Path, file: str, *, server: str) -> Path:
    """Write `{file}.kubeconfig` with the certificate of that name.

    Args:
        directory: Where the certificate and `ca.crt` lie.
        file: Name of the certificate.
        server: URL of the API server.
    """

    def encoded(name: str) -> str:
        return base64.b64encode((directory / name).read_bytes()).decode()

    cluster = {"server": server, "certificate-authority-data": encoded("ca.crt")}
    user = {
        "client-certificate-data": encoded(f"{file}.crt"),
        "client-key-data": encoded(f"{file}.key"),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": file, "user": user}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": file}}],
        "current-context": CONTEXT,
    }
    path = directory / f"{file}.kubeconfig"
    _write_private(path, yaml.safe_dump(config).encode())
    return path


def _builder(
    name: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _LIFE)
    )


def _name(subject: Subject) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, subject.name)]
    if subject.group:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, subject.group))
    return x509.Name(parts)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _identifier(key: ec.EllipticCurvePublicKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key)


def _alternatives(hosts: Sequence[str]) -> x509.SubjectAlternativeName:
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return x509.SubjectAlternativeName(names)


def _private_text(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(
    stem: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    public = certificate.public_bytes(serialization.Encoding.PEM)
    stem.with_name(stem.name + ".crt").write_bytes(public)
    _write_private(stem.with_name(stem.name + ".key"), _private_text(key))


def _write_private(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_bytes(data)
