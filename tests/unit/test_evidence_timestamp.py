"""Timestamp tokens: what is accepted, of whom, and that no byte of one can change."""

from __future__ import annotations

import base64
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.errors import EvidenceError
from sandbox.evidence.__main__ import main
from sandbox.evidence.bundle import write_bundle
from sandbox.evidence.log import sign_checkpoint
from sandbox.evidence.stamping import stamp_checkpoint
from sandbox.evidence.stamps import Authorities
from sandbox.evidence.steps import Step
from sandbox.evidence.timestamp import Stamp, read_certificates, verify_token
from sandbox.evidence.verify import Trust, verify_bundle
from sandbox.model.log import Timestamp
from sandbox.testing.authority import STAMPED_AT, Habits, ThrowawayAuthority
from sandbox.testing.trial import RecordedTrial

TEXT = b"log.example\n7\nroot\n"
AUTHORITY = ThrowawayAuthority()
TOKEN, _ = AUTHORITY.stamp(TEXT)
TSA_SETTINGS = """
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
accuracy = secs:1
ess_cert_id_alg = {certificate_digest}
"""


def stamped(authority: ThrowawayAuthority, *trusted: x509.Certificate) -> Stamp:
    token, _ = authority.stamp(TEXT)
    return verify_token(token, TEXT, chain=authority.chain, trusted=trusted)


def test_a_token_says_when_and_by_whom() -> None:
    """Trusted through its own certificate or the one above; else said not to be."""
    authority = ThrowawayAuthority()
    said = stamped(authority, authority.root)
    assert said == Stamp(STAMPED_AT, "CN=Throwaway TSA", True)
    assert stamped(authority, authority.certificate).trusted
    assert not stamped(authority).trusted
    assert not stamped(authority, ThrowawayAuthority().certificate).trusted


def test_a_certificate_that_has_expired_since_still_counts() -> None:
    """What matters is the time of the stamp, however long ago that was."""
    old = ThrowawayAuthority(Habits(at=datetime(2001, 1, 1, tzinfo=UTC)))
    assert old.certificate.not_valid_after_utc.year == 2001
    assert stamped(old, old.root).trusted


def test_a_certificate_that_was_not_valid_then_does_not_count() -> None:
    """It had expired when the token says that it was made."""
    late = ThrowawayAuthority(Habits(valid_for=timedelta(hours=1)))
    with pytest.raises(EvidenceError, match="not valid at the time of the stamp"):
        stamped(late, late.root)


def test_another_text_is_noticed() -> None:
    """The imprint is of one text only."""
    token, _ = ThrowawayAuthority().stamp(TEXT)
    with pytest.raises(EvidenceError, match="something else"):
        verify_token(token, TEXT + b"\n")


@pytest.mark.parametrize(
    "habits",
    [
        Habits(purposes=(ExtendedKeyUsageOID.CODE_SIGNING,)),
        Habits(
            purposes=(
                ExtendedKeyUsageOID.TIME_STAMPING,
                ExtendedKeyUsageOID.CODE_SIGNING,
            )
        ),
        Habits(is_purpose_critical=False),
    ],
)
def test_a_certificate_for_something_else_is_refused(habits: Habits) -> None:
    """Its purpose is timeStamping, critical and alone."""
    authority = ThrowawayAuthority(habits)
    with pytest.raises(EvidenceError, match="not for timestamps"):
        stamped(authority, authority.root)


def test_a_broken_chain_is_refused() -> None:
    """A certificate of the right name above it that did not sign it."""
    authority, other = ThrowawayAuthority(), ThrowawayAuthority()
    token, _ = authority.stamp(TEXT)
    with pytest.raises(EvidenceError, match="chain is broken"):
        verify_token(token, TEXT, chain=[other.root])
    with pytest.raises(EvidenceError, match="chain is broken"):
        verify_token(token, TEXT, trusted=[other.root])


def test_an_authority_in_between_must_be_allowed() -> None:
    """As far as the one above it lets others issue for it."""
    near = ThrowawayAuthority(Habits(is_indirect=True, reach=1))
    assert stamped(near, near.root).trusted
    far = ThrowawayAuthority(Habits(is_indirect=True, reach=0))
    with pytest.raises(EvidenceError, match="may not have 1 authorities"):
        stamped(far, far.root)
    token, _ = near.stamp(TEXT)
    assert not verify_token(token, TEXT, trusted=[near.root]).trusted


def test_the_certificate_is_the_one_that_was_signed() -> None:
    """One with the same key would do for the signature, and may say something else."""
    authority = ThrowawayAuthority(Habits(names_itself=False))
    with pytest.raises(EvidenceError, match="under another certificate"):
        stamped(authority, authority.root)


def test_a_token_carries_no_certificate_that_is_not_on_its_path() -> None:
    """What nobody reads could be changed without being seen."""
    stranger = ThrowawayAuthority()
    authority = ThrowawayAuthority(Habits(carries=(stranger.certificate,)))
    with pytest.raises(EvidenceError, match="not its signer's"):
        stamped(authority, authority.root)


def usage(*, signs: bool) -> x509.KeyUsage:
    names = ("data_encipherment", "key_agreement", "key_cert_sign", "crl_sign")
    names += ("content_commitment", "encipher_only", "decipher_only")
    off = dict.fromkeys(names, False)
    return x509.KeyUsage(digital_signature=signs, key_encipherment=not signs, **off)


@pytest.mark.parametrize(
    ("extension", "said"),
    [
        (usage(signs=False), "not for signatures"),
        (x509.OCSPNoCheck(), "critical extension 1.3.6.1.5.5.7.48.1.5"),
    ],
)
def test_what_a_certificate_says_of_itself_holds(
    extension: x509.ExtensionType, said: str
) -> None:
    """A use other than signatures, or something critical that is not read here."""
    authority = ThrowawayAuthority(Habits(extensions=(extension,)))
    with pytest.raises(EvidenceError, match=said):
        stamped(authority, authority.root)
    right = ThrowawayAuthority(Habits(extensions=(usage(signs=True),)))
    assert stamped(right, right.root).trusted


def test_every_byte_of_a_token_matters() -> None:
    """Flip any bit of any byte, or cut anywhere: it does not verify."""
    authority = ThrowawayAuthority()
    token, _ = authority.stamp(TEXT)
    chain = [authority.root]
    for place in range(len(token)):
        for bit in (1, 0x80):
            changed = bytearray(token)
            changed[place] ^= bit
            with pytest.raises(EvidenceError):
                verify_token(bytes(changed), TEXT, chain=chain, trusted=chain)
        with pytest.raises(EvidenceError):
            verify_token(token[:place], TEXT, chain=chain)
    with pytest.raises(EvidenceError, match="after the end"):
        verify_token(token + b"\0", TEXT, chain=chain)


@given(st.binary(max_size=200), st.integers(0, 2000))
@settings(deadline=None)
def test_noise_is_an_error_and_nothing_else(noise: bytes, place: int) -> None:
    """Alone or inside a token, whatever it is."""
    token = TOKEN[:place] + noise + TOKEN[place + len(noise) :]
    for data in (noise, token):
        if data != TOKEN:
            with pytest.raises(EvidenceError):
                verify_token(data, TEXT, chain=AUTHORITY.chain)


class Peer:
    """`openssl ts` as an authority, in a folder."""

    def __init__(self, folder: Path, kind: list[str], certificate_digest: str) -> None:
        self._folder = folder
        (folder / "serial").write_text("01\n")
        text = TSA_SETTINGS.format(folder=folder, certificate_digest=certificate_digest)
        (folder / "tsa.cnf").write_text(text)
        self._run(
            *("req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=Peer", *kind),
            *("-keyout", "key.pem", "-out", "tsa.pem"),
            *("-addext", "extendedKeyUsage=critical,timeStamping"),
        )

    def stamp(self, text: bytes) -> bytes:
        (self._folder / "text").write_bytes(text)
        self._run(*"ts -query -data text -sha256 -cert -out query".split())
        reply = "ts -reply -config tsa.cnf -queryfile query -signer tsa.pem"
        self._run(*reply.split(), *"-inkey key.pem -token_out -out token".split())
        return (self._folder / "token").read_bytes()

    def accepts(self, token: bytes, text: bytes, root: bytes) -> bool:
        for name, data in (("text", text), ("token", token), ("root.pem", root)):
            (self._folder / name).write_bytes(data)
        verify = "ts -verify -data text -in token -token_in -CAfile root.pem"
        at = str(int(STAMPED_AT.timestamp()))
        return self._run(*verify.split(), "-attime", at, check=False) == 0

    def certificate(self) -> x509.Certificate:
        (found,) = read_certificates(
            (self._folder / "tsa.pem").read_bytes(), what="tsa.pem"
        )
        return found

    def _run(self, *arguments: str, check: bool = True) -> int:
        done = subprocess.run(
            ["openssl", *arguments], cwd=self._folder, capture_output=True, check=False
        )
        assert not check or done.returncode == 0, done.stderr.decode()
        return done.returncode


needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None,
    reason="NOT TESTED: no openssl here to make and read tokens as a peer",
)
RSA = ["-newkey", "rsa:2048"]
EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]


@needs_openssl
@pytest.mark.parametrize(
    ("kind", "digest"),
    [
        (EC, "sha256"),
        (EC, "sha1"),
        (EC, "sha512"),
        (RSA, "sha256"),
        # A root that signed itself with what is no longer read, yet is trusted.
        ([*RSA, "-sha1"], "sha256"),
    ],
)
def test_a_token_of_openssl_verifies(
    tmp_path: Path, kind: list[str], digest: str
) -> None:
    """ECDSA and RSA, the certificate named as in RFC 2634 and as in RFC 5816."""
    peer = Peer(tmp_path, kind, digest)
    token = peer.stamp(TEXT)
    said = verify_token(token, TEXT, trusted=[peer.certificate()])
    assert (said.authority, said.trusted) == ("CN=Peer", True)
    with pytest.raises(EvidenceError, match="something else"):
        verify_token(token, b"another text")


@needs_openssl
def test_openssl_reads_the_tokens_of_the_test_authority(tmp_path: Path) -> None:
    """So that the authority of these tests is one for others too."""
    authority = ThrowawayAuthority()
    token, _ = authority.stamp(TEXT)
    peer = Peer(tmp_path, EC, "sha256")
    root = authority.root.public_bytes(Encoding.PEM)
    assert peer.accepts(token, TEXT, root)
    assert not peer.accepts(token, b"another text", root)


@pytest.fixture(name="trial")
def _trial() -> RecordedTrial:
    trial = RecordedTrial()
    trial.move("submitted", "approved", 1)
    return trial


def stamp(trial: RecordedTrial, authority: ThrowawayAuthority) -> bool:
    checkpoint = sign_checkpoint(trial.log, trial.signer)
    return stamp_checkpoint(trial.log, authority, checkpoint)


def told(trial: RecordedTrial, folder: Path, *trusted: x509.Certificate) -> Step:
    """Return what the verifier's step about timestamps says of the trial's bundle."""
    write_bundle(folder / "b", trial_id=trial.trial_id, source=trial.source())
    result = verify_bundle(folder / "b", trust=Trust(authorities=Authorities(trusted)))
    (found,) = [item for item in result.steps if item.step.startswith("Timestamps")]
    assert result.ok == found.ok
    return found


def test_a_checkpoint_is_stamped_once(trial: RecordedTrial) -> None:
    """The same text needs one token; a larger log is stamped again."""
    authority = ThrowawayAuthority()
    assert stamp(trial, authority)
    assert not stamp(trial, authority)
    trial.move("approved", "running", 2)
    assert stamp(trial, authority)
    assert [item.size for item in trial.log.timestamps()] == [2, 3]


def test_a_bundle_tells_its_timestamps(trial: RecordedTrial, tmp_path: Path) -> None:
    """None; one nobody trusts; one that is trusted; one that is not of every entry."""
    authority = ThrowawayAuthority()
    assert told(trial, tmp_path).detail == "no checkpoint of this log was stamped"
    stamp(trial, authority)
    untrusted = told(trial, tmp_path)
    assert untrusted.ok
    assert untrusted.detail.startswith("not trusted: 1 verify")
    said = "2 entries existed at 2026-01-01T12:00:00+00:00 (CN=Throwaway TSA)"
    assert told(trial, tmp_path, authority.root).detail == said
    trial.move("approved", "running", 2)
    assert told(trial, tmp_path, authority.root).detail == (
        f"{said}, not yet all 3 of this bundle"
    )


def test_a_timestamp_that_is_asked_for_must_cover_every_entry(
    trial: RecordedTrial, tmp_path: Path
) -> None:
    """None, one nobody trusts and one of less than the bundle do not."""
    authority = ThrowawayAuthority()
    file, asked = tmp_path / "tsa.pem", ["verify", str(tmp_path / "b")]
    file.write_bytes(authority.root.public_bytes(Encoding.PEM))
    asked.append("--require-timestamp")
    told(trial, tmp_path)
    assert main([*asked, "--tsa", str(file)]) == 1
    stamp(trial, authority)
    told(trial, tmp_path)
    assert main([*asked, "--tsa", str(file)]) == 0
    assert main(asked) == 1
    trial.move("approved", "running", 2)
    told(trial, tmp_path)
    assert main([*asked, "--tsa", str(file)]) == 1


def test_a_token_that_does_not_verify_fails_the_bundle(
    trial: RecordedTrial, tmp_path: Path
) -> None:
    """Of another text, with a chain that is none, or no token at all."""
    note = sign_checkpoint(trial.log, trial.signer).note
    good, chain = ThrowawayAuthority().stamp(note.split("\n\n")[0].encode() + b"\n")
    above = tuple(base64.b64encode(item).decode() for item in chain)
    other, _ = ThrowawayAuthority().stamp(b"other")
    for token, certificates in ((other, ()), (good, ("AAAA",)), (b"none", above)):
        bad = RecordedTrial()
        bad.move("submitted", "approved", 1)
        text = base64.b64encode(token).decode()
        bad.log.keep_timestamp(
            Timestamp(size=2, note=note, token=text, chain=certificates)
        )
        assert "timestamps.jsonl line 1" in told(bad, tmp_path).detail
        assert not told(bad, tmp_path).ok


def test_the_command_takes_authorities(
    trial: RecordedTrial, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--tsa FILE` with PEM; a file that is none is a wrong call."""
    authority = ThrowawayAuthority()
    stamp(trial, authority)
    told(trial, tmp_path)
    file = tmp_path / "tsa.pem"
    file.write_bytes(authority.root.public_bytes(Encoding.PEM))
    assert main(["verify", str(tmp_path / "b"), "--tsa", str(file)]) == 0
    assert "log hold: 2 entries existed at 2026" in capsys.readouterr().out
    file.write_text("none")
    assert main(["verify", str(tmp_path / "b"), "--tsa", str(file)]) == 2
    assert main(["verify", str(tmp_path / "b"), "--tsa", str(tmp_path / "no")]) == 2
