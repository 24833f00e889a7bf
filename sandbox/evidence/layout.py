"""How the files of a bundle are written, for the verifier.

Rules of this module:

* Every JSON object has exactly the fields it must have.
* Only plain files in non-empty folders; no links.
* Hashes are hexadecimal, 32 bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sandbox.errors import EvidenceError
from sandbox.evidence.attest import read_canonical

FORMAT = 2
"""Format of the bundles written and read here."""


def check_format(data: Any) -> None:
    """Check that a manifest is of the format read here.

    Args:
        data: Parsed `manifest.json`; nothing else of it is looked at.

    Raises:
        EvidenceError: It is not a manifest, or of another format; says which.
    """
    if not isinstance(data, dict) or data.get("kind") != "bundle-manifest":
        raise EvidenceError("manifest.json is not the manifest of a bundle")
    said = data.get("format")
    if said != FORMAT or isinstance(said, bool):
        raise EvidenceError(
            f"manifest.json: the bundle is of format {said!r}, and this verifier reads "
            f"format {FORMAT}; verify it with the version that wrote it"
        )


def read_manifest(data: Any) -> dict[str, Any]:
    """Return the manifest, once its shape has been checked.

    Raises:
        EvidenceError: It is not a manifest of the format known here.
    """
    wanted = ("kind", "format", "trial_id", "entries_of", "tool", "files")
    values = fields(data, wanted, "manifest.json")
    check_format(data)
    for number, item in enumerate(values[-1]):
        name, _, _ = fields(item, ("name", "sha256", "size"), f"its file {number}")
        if not isinstance(name, str) or ".." in name or name.startswith("/"):
            raise EvidenceError(f"manifest.json: {name!r} is not a file of a bundle")
    return dict(data)


def fields(data: Any, names: tuple[str, ...], what: str) -> list[Any]:
    """Return the values of an object that has exactly these fields.

    Raises:
        EvidenceError: It has others; names `what`.
    """
    if not isinstance(data, dict) or set(data) != set(names):
        raise EvidenceError(f"{what} must have exactly {', '.join(names)}")
    return [data[name] for name in names]


def read_lines(data: bytes, what: str) -> list[Any]:
    """Return the values of a file of canonical JSON lines.

    Raises:
        EvidenceError: A line is not canonical JSON, or the last is cut off.
    """
    if data and not data.endswith(b"\n"):
        raise EvidenceError(f"{what} does not end in a newline")
    return [
        read_canonical(line, what=f"{what} line {number}")
        for number, line in enumerate(data.split(b"\n")[:-1], start=1)
    ]


def read_hashes(steps: Any, what: str) -> list[bytes]:
    """Return the steps of a proof.

    Raises:
        EvidenceError: One is not a SHA-256 hash in lower-case hexadecimal: there is one
            way only of writing a proof.
    """
    try:
        found = [bytes.fromhex(step) for step in steps]
    except (TypeError, ValueError) as error:
        raise EvidenceError(f"{what}: its proof cannot be read") from error
    if any(len(step) != 32 for step in found):
        raise EvidenceError(f"{what}: its proof has a step that is not a SHA-256 hash")
    if [step.hex() for step in found] != steps:
        raise EvidenceError(f"{what}: its proof is not in lower-case hexadecimal")
    return found


def present(path: Path) -> set[str]:
    """Return the names of all files below a folder, and of empty folders with a slash.

    Raises:
        EvidenceError: There is a link.
    """
    found: set[str] = set()
    for item in path.rglob("*"):
        name = item.relative_to(path).as_posix()
        if item.is_symlink():
            raise EvidenceError(f"{name} is a link; a bundle has plain files only")
        if not item.is_dir():
            found.add(name)
        elif not any(item.iterdir()):
            found.add(f"{name}/")
    return found


def stem(name: str) -> str:
    """Return the name of the segment a file belongs to."""
    return name.removesuffix(".gz").removesuffix(".dsse.json")
