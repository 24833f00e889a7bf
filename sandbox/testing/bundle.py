"""A bundle changed by an insider: who holds the key can sign a manifest anew."""

from __future__ import annotations

import json
from pathlib import Path

from sandbox.evidence.attest import (
    MANIFEST_PREDICATE,
    Subject,
    canonical,
    sha256,
    sign_statement,
    statement,
)
from sandbox.ports import Signer

_SIGNED = frozenset({"manifest.json", "manifest.dsse.json"})


def sign_again(bundle: Path, signer: Signer) -> None:
    """Make the signed manifest fit whatever files the bundle has now."""
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    manifest["files"] = [
        {
            "name": file.relative_to(bundle).as_posix(),
            "sha256": sha256(file.read_bytes())[7:],
            "size": file.stat().st_size,
        }
        for file in sorted(bundle.rglob("*"))
        if file.is_file() and file.name not in _SIGNED
    ]
    data = canonical(manifest)
    payload = statement(
        [Subject("manifest.json", sha256(data))],
        predicate_type=MANIFEST_PREDICATE,
        predicate={"trial_id": manifest["trial_id"]},
    )
    (bundle / "manifest.json").write_bytes(data)
    envelope = sign_statement(payload, signer).envelope
    (bundle / "manifest.dsse.json").write_bytes(envelope)
