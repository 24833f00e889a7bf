"""What someone who holds the log's key can do to a bundle: change it and sign anew.

What a verifier finds afterwards rests on more than the signature of the manifest.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox.evidence.attest import Signs, canonical, sha256, sign_statement
from sandbox.evidence.note import checkpoint_text, signed_note
from sandbox.testing.signer import ThrowawaySigner

Edit = Callable[[Path], None]
"""Changes a bundle in a folder."""
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


def entries(change: Callable[[list[Any]], object]) -> Edit:
    """Return what changes the entries."""
    return lambda bundle: edit_lines(bundle / "entries.jsonl", change)


def keys(change: Callable[[Any], object]) -> Edit:
    """Return what changes the list of keys."""
    return lambda bundle: edit_json(bundle / "keys.json", change)


def other_bytes(bundle: Path) -> None:
    """Exchange two frames of a segment, and pack them again."""
    file = bundle / "segments" / "000001.gz"
    raw = gzip.decompress(file.read_bytes())
    half = len(raw) // 2
    file.write_bytes(gzip.compress(raw[half:] + raw[:half]))


def more_bytes(bundle: Path) -> None:
    """Let another packed stream follow that of a segment."""
    file = bundle / "segments" / "000001.gz"
    file.write_bytes(file.read_bytes() + gzip.compress(b"more"))


def statement_by(signer: ThrowawaySigner, number: int) -> Edit:
    """Sign a segment's statement with another key of the same log."""

    def edit(bundle: Path) -> None:
        file = bundle / "segments" / f"{number:06d}.dsse.json"
        payload = base64.b64decode(json.loads(file.read_bytes())["payload"])
        file.write_bytes(sign_statement(payload, signer).envelope)

    return edit


def other_statement(signer: ThrowawaySigner) -> Edit:
    """Say something else of the second segment, rightly signed."""

    def edit(bundle: Path) -> None:
        file = bundle / "segments" / "000002.dsse.json"
        payload = json.loads(base64.b64decode(json.loads(file.read_bytes())["payload"]))
        payload["predicate"]["spans"] = 99
        file.write_bytes(sign_statement(canonical(payload), signer).envelope)

    return edit


def without_segment(bundle: Path) -> None:
    """Take the first segment and its entry out."""
    entries(lambda lines: lines.pop(4))(bundle)
    for name in ("000001.gz", "000001.dsse.json"):
        (bundle / "segments" / name).unlink()


def fork(name: str, *, signer: ThrowawaySigner, size: int) -> Edit:
    """Put a signed checkpoint of another history in."""

    def edit(bundle: Path) -> None:
        note = _note(checkpoint_text(signer.name, size, bytes(32)), signer)
        edit_lines(bundle / name, lambda lines: lines[-1].update(note=note))

    return edit


def signed_by(signer: ThrowawaySigner) -> Edit:
    """Sign the last of the earlier checkpoints with another key of the log."""

    def change(lines: list[Any]) -> None:
        text = lines[-1]["note"].split("\n\n")[0].encode() + b"\n"
        lines[-1].update(note=_note(text, signer))

    return lambda bundle: edit_lines(bundle / "checkpoints.jsonl", change)


def forged_cosignature(bundle: Path) -> None:
    """Claim that the witness saw it at another time."""

    def change(lines: list[Any]) -> None:
        head, _, token = lines[0]["note"].rstrip("\n").rpartition(" ")
        raw = bytearray(base64.b64decode(token))
        raw[11] ^= 1
        lines[0]["note"] = f"{head} {base64.b64encode(raw).decode()}\n"

    edit_lines(bundle / "cosignatures.jsonl", change)


def unsigned_change(bundle: Path) -> None:
    """Let the new key stand for the old one under the change."""

    def change(value: Any) -> None:
        signatures = value["keys"][1]["change"]["entry"]["body"]["signatures"]
        signatures["previous"] = signatures["new"]

    edit_json(bundle / "keys.json", change)


def old_format(bundle: Path) -> None:
    """Say that the bundle is of an older format."""
    edit_json(bundle / "manifest.json", lambda value: value.update(format=1))


def _listed(bundle: Path, name: str) -> dict[str, Any]:
    data = (bundle / name).read_bytes()
    return {"name": name, "sha256": sha256(data)[7:], "size": len(data)}


def _note(text: bytes, signer: ThrowawaySigner) -> str:
    key, signature = signer.public_key, signer.sign(text)
    return signed_note(text, name=signer.name, public_key=key, signature=signature)
