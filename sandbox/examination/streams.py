"""Long connections between two pods, and when each carries its last request.

Rules of this module:

* The client is agnhost's `inclusterclient`: it asks once a second over one connection
  that it keeps open, and believes its far end only by a certificate. So the far end is
  agnhost's `netexec` with a throwaway certificate, and its log counts the requests.
* What counts is what arrives: nothing a client says of itself is asked.
* Times are read to about a second, which is how often a client asks.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sandbox.environment.template import fill
from sandbox.environment.waiting import wait_until
from sandbox.errors import IsolationError
from sandbox.examination.throwaway import FOLDER, Place, addresses
from sandbox.ports import KubernetesObject

STREAM = "stream"
"""Role of the far ends; a policy allows or denies it."""

_HOST = "far-end.invalid"
_PORT = 8443
_REQUEST = "GET /healthz"
_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_KEYS = "/keys"
_QUIET_S = 4.0
_STARTS_S = 30.0


class ThrowawayCertificate(NamedTuple):
    """A self-signed certificate and its key, as PEM."""

    certificate: bytes
    key: bytes


class Stream(NamedTuple):
    """One long connection that runs."""

    place: Place
    namespace: str
    """Namespace of the far end."""
    pod: str
    """Name of the far end."""

    def requests(self) -> int:
        """Return how many requests have arrived so far."""
        log = self.place.cluster.logs(self.namespace, self.pod, "far-end")
        return log.count(_REQUEST)


def throwaway_certificate(now: datetime) -> ThrowawayCertificate:
    """Return a certificate that is good for a day.

    Args:
        now: The present instant; the cluster's clock may differ by hours.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _HOST)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(_HOST)]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return ThrowawayCertificate(
        certificate.public_bytes(pem),
        key.private_bytes(
            pem,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def start_streams(
    place: Place,
    far: str,
    clients: Mapping[str, str],
    certificate: ThrowawayCertificate,
) -> dict[str, Stream]:
    """Start a far end and a client for each stream, and wait until requests arrive.

    Args:
        place: Where the namespaces are.
        far: Namespace of the far ends.
        clients: Name of a stream → namespace of its client.
        certificate: What the far ends show.

    Raises:
        IsolationError: Nothing started, or nothing arrived.
    """
    server = {"tls.crt": certificate.certificate, "tls.key": certificate.key}
    place.apply([_secret(far, "far-end-key", server)])
    ends = [_far_end(place, far, name) for name in clients]
    place.apply(ends)
    found = addresses(place, ends)
    believed = {"ca.crt": certificate.certificate, "token": b"none"}
    secrets = [_secret(n, "account", believed) for n in sorted(set(clients.values()))]
    pods = [
        _client(place, namespace, name, address[0])
        for (name, namespace), address in zip(clients.items(), found, strict=True)
    ]
    place.apply([*secrets, *pods])
    streams = {name: Stream(place, far, f"{STREAM}-{name}") for name in clients}
    _wait_for_requests(place, streams)
    return streams


def arrivals(stream: Stream) -> Callable[[], bool]:
    """Return what says whether requests have arrived since it was last asked."""
    counts = [stream.requests()]

    def has_grown() -> bool:
        counts.append(stream.requests())
        return counts[-1] > counts[-2]

    return has_grown


def last_signs(
    place: Place,
    signs: Mapping[str, Callable[[], bool]],
    *,
    act: Callable[[], object],
    watch_s: float,
) -> dict[str, float | None]:
    """Do something and return when each thing gave its last sign of life.

    Args:
        place: Tells how to wait.
        signs: Name → whether there was a sign since it was last asked.
        act: What is done.
        watch_s: A sign within so many seconds may be the last; then follow seconds of
            silence that show that it was. Less is watched if all fall silent.

    Returns:
        Name → seconds after the act; None where signs still come.
    """
    begun = time.monotonic()
    act()
    seen = dict.fromkeys(signs, begun)

    def alive() -> Sequence[str]:
        seen.update({name: time.monotonic() for name, sign in signs.items() if sign()})
        now = time.monotonic()
        return [name for name, at in seen.items() if now - at < _QUIET_S]

    left = wait_until(alive, wait_s=watch_s + _QUIET_S, pause=place.pause)
    return {
        name: None if name in left else round(at - begun, 1)
        for name, at in seen.items()
    }


def _wait_for_requests(place: Place, streams: Mapping[str, Stream]) -> None:
    left = wait_until(
        lambda: [name for name, stream in streams.items() if stream.requests() < 2],
        wait_s=_STARTS_S,
        pause=place.pause,
    )
    if left:
        raise IsolationError(
            f"No request arrives over the long connections {', '.join(left)} although"
            " they are allowed, so nothing can be said about cutting them. See whether"
            " pods reach each other at all."
        )


def _far_end(place: Place, namespace: str, name: str) -> KubernetesObject:
    command = ["netexec", f"--http-port={_PORT}"]
    command += [f"--tls-cert-file={_KEYS}/tls.crt"]
    command += [f"--tls-private-key-file={_KEYS}/tls.key"]
    container = place.container(
        "far-end",
        command,
        readiness={"tcpSocket": {"port": _PORT}, "periodSeconds": 1},
        volume_mounts=[{"name": "keys", "mountPath": _KEYS, "readOnly": True}],
    )
    volumes = [{"name": "keys", "secret": {"secretName": "far-end-key"}}]
    pod = f"{STREAM}-{name}"
    return place.pod(namespace, pod, [container], role=STREAM, volumes=volumes)


def _client(place: Place, namespace: str, name: str, address: str) -> KubernetesObject:
    # The client takes its far end for the API server, which these variables name.
    env = [
        {"name": "KUBERNETES_SERVICE_HOST", "value": _HOST},
        {"name": "KUBERNETES_SERVICE_PORT", "value": str(_PORT)},
    ]
    container = place.container(
        "client",
        ["inclusterclient", "--poll-interval=1"],
        env=env,
        volume_mounts=[{"name": "account", "mountPath": _ACCOUNT, "readOnly": True}],
    )
    return place.pod(
        namespace,
        f"client-{name}",
        [container],
        host_aliases=[{"ip": address, "hostnames": [_HOST]}],
        volumes=[{"name": "account", "secret": {"secretName": "account"}}],
    )


def _secret(namespace: str, name: str, data: Mapping[str, bytes]) -> KubernetesObject:
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    values = {"namespace": namespace, "secret_name": name, "stream_data": encoded}
    return fill(FOLDER, "stream-secret.yaml", values)
