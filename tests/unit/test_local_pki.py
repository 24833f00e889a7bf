import ssl
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from sandbox.local import pki

_NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture(name="directory")
def _directory(tmp_path):
    authority = pki.make_authority(tmp_path / "pki", now=_NOW)
    subject = pki.Subject("kube-apiserver", hosts=("198.18.0.2", "kubernetes"))
    pki.issue(authority, "apiserver", subject)
    for file, client in pki.client_subjects("local").items():
        pki.issue(authority, file, client)
    pki.make_account_keys(tmp_path / "pki")
    return tmp_path / "pki"


def _load(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def _verifier(directory, at=_NOW):
    store = Store([_load(directory / "ca.crt")])
    return PolicyBuilder().store(store).time(at)


def test_the_server_certificate_chains_to_the_authority(directory):
    """It verifies for its own name, and for no other."""
    leaf = _load(directory / "apiserver.crt")
    server = _verifier(directory).build_server_verifier(x509.DNSName("kubernetes"))
    chain = server.verify(leaf, [])
    assert chain[-1] == _load(directory / "ca.crt")
    other = _verifier(directory).build_server_verifier(x509.DNSName("example.org"))
    with pytest.raises(VerificationError):
        other.verify(leaf, [])


def test_a_client_certificate_serves_nobody(directory):
    """A client's certificate is refused as a server's, and accepted as a client's."""
    leaf = _load(directory / "scheduler.crt")
    uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]
    leaf.verify_directly_issued_by(_load(directory / "ca.crt"))


def test_certificates_end(directory):
    """After 90 days the server certificate does not verify any more."""
    late = _verifier(directory, _NOW + timedelta(days=91))
    with pytest.raises(VerificationError):
        late.build_server_verifier(x509.DNSName("kubernetes")).verify(
            _load(directory / "apiserver.crt"), []
        )


def test_another_authority_is_not_believed(directory, tmp_path):
    """A certificate of another installation's authority is refused."""
    other = tmp_path / "other"
    pki.make_authority(other, now=_NOW)
    with pytest.raises(x509.verification.VerificationError):
        _verifier(other).build_server_verifier(x509.DNSName("kubernetes")).verify(
            _load(directory / "apiserver.crt"), []
        )


def test_only_two_certificates_may_do_everything(directory):
    """The administrator and the API server's kubelet client, nobody else."""
    masters = set()
    for file in pki.client_subjects("local"):
        groups = _load(directory / f"{file}.crt").subject.get_attributes_for_oid(
            NameOID.ORGANIZATION_NAME
        )
        if any(group.value == "system:masters" for group in groups):
            masters.add(file)
    assert masters == {"admin", "kubelet-client"}


def test_keys_are_readable_by_their_owner_alone(directory):
    """The directory is 0700; keys and kubeconfigs are 0600."""
    path = pki.write_kubeconfig(directory, "admin", server="https://198.18.0.2:6443")
    assert directory.stat().st_mode & 0o777 == 0o700
    for secret in (*directory.glob("*.key"), path):
        assert secret.stat().st_mode & 0o777 == 0o600, secret


def test_a_kubeconfig_names_one_context(directory):
    """It holds one cluster, one user and the context that joins them."""
    path = pki.write_kubeconfig(directory, "admin", server="https://198.18.0.2:6443")
    config = yaml.safe_load(path.read_text())
    assert [c["name"] for c in config["contexts"]] == [pki.CONTEXT]
    assert config["contexts"][0]["context"] == {"cluster": pki.CONTEXT, "user": "admin"}
    assert config["clusters"][0]["cluster"]["server"] == "https://198.18.0.2:6443"


def test_key_and_certificate_belong_together(directory):
    """TLS accepts each pair, so no file was written under another's name."""
    for file in ("ca", "apiserver", "admin", "kubelet"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(directory / f"{file}.crt", directory / f"{file}.key")
