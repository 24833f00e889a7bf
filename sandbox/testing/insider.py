"""What someone who holds the log's key can do to a bundle: change it and sign anew.

What a verifier finds afterwards rests on more than the signature of the manifest.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox.evidence.attest import Signs, canonical, sha256, sign_statement

_SIGNED = ("manifest.json", "manifest.dsse.json")


def resign(bundle: Path, signer: Signs) -> None:
    """Make the manifest fit the files again, and sign it.

    Args:
        bundle: Folder of the bundle.
        signer: Whose key signs.
    """
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    names = sorted(
        item.relative_to(bundle).as_posix()
        for item in bundle.rglob("*")
        if item.is_file() and item.name not in _SIGNED
    )
    manifest["files"] = [_listed(bundle, name) for name in names]
    data = canonical(manifest)
    envelope = json.loads((bundle / "manifest.dsse.json").read_bytes())
    said = json.loads(base64.b64decode(envelope["payload"]))
    said["subject"][0]["digest"]["sha256"] = sha256(data)[7:]
    signed = sign_statement(canonical(said), signer)
    (bundle / "manifest.json").write_bytes(data)
    (bundle / "manifest.dsse.json").write_bytes(signed.envelope)


def edit_json(file: Path, edit: Callable[[Any], object]) -> None:
    """Change a file of canonical JSON in place; `edit` changes what it is given."""
    value = json.loads(file.read_bytes())
    edit(value)
    file.write_bytes(canonical(value))


def edit_lines(file: Path, edit: Callable[[list[Any]], object]) -> None:
    """Change a file of canonical JSON lines in place, as above."""
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    edit(lines)
    file.write_bytes(b"".join(canonical(line) + b"\n" for line in lines))


def _listed(bundle: Path, name: str) -> dict[str, Any]:
    data = (bundle / name).read_bytes()
    return {"name": name, "sha256": sha256(data)[7:], "size": len(data)}
