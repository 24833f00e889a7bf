"""Checkpoints of the transparency log.

Rules of this module:

* A leaf is the canonical JSON of a `LogEntry`; hashing is RFC 6962.
* A checkpoint is signed over origin, size and root (C2SP tlog-checkpoint); every one
  that was ever signed is kept, so that none can be taken back.
* A log that does not continue its largest checkpoint is not signed; nor is one with a
  wrong stored hash over entries that no checkpoint covers yet.
* Signing takes time in proportion to the entries since the largest checkpoint, not to
  those of the log. That nothing older was changed is shown by `check_log`.
"""

from __future__ import annotations

from sandbox.errors import EvidenceError
from sandbox.evidence.hashtree import HashTree
from sandbox.evidence.merkle import leaf_hash
from sandbox.evidence.note import checkpoint_text, open_checkpoint, signed_note
from sandbox.evidence.vkey import Keys
from sandbox.model.record import canonical_json
from sandbox.model.segment import Checkpoint, LogEntry
from sandbox.ports import Log, Signer


def leaf_data(entry: LogEntry) -> bytes:
    """Return the bytes of an entry that the log hashes."""
    return canonical_json(entry)


def entry_hash(entry: LogEntry) -> bytes:
    """Return the RFC 6962 leaf hash of an entry."""
    return leaf_hash(leaf_data(entry))


def sign_checkpoint(log: Log, signer: Signer) -> Checkpoint:
    """Sign the log as it stands, and keep the checkpoint.

    Args:
        log: The log of this installation.
        signer: Holder of the log's key; its name is the origin.

    Raises:
        EvidenceError: The log no longer contains what an earlier checkpoint covers, or
            a stored hash is wrong.
        RecordsError: The log cannot be read, or the checkpoint not be kept.
    """
    # Read before the size: the log may grow in between, and then covers it.
    largest = log.largest_checkpoint()
    tree = HashTree(log.hashes, log.size())
    if largest is not None:
        check_continues(largest, tree)
    tree.check_since(largest.size if largest else 0)
    root = tree.root()
    text = checkpoint_text(signer.name, tree.size, root)
    note = signed_note(
        text,
        name=signer.name,
        public_key=signer.public_key,
        signature=signer.sign(text),
    )
    checkpoint = Checkpoint(
        origin=signer.name, size=tree.size, root=f"sha256:{root.hex()}", note=note
    )
    log.keep_checkpoint(checkpoint)
    return checkpoint


def check_continues(earlier: Checkpoint, tree: HashTree) -> None:
    """Check that the log still begins with what a checkpoint covers.

    Args:
        earlier: A checkpoint of this log.
        tree: The tree over the log now.

    Raises:
        EvidenceError: It does not: entries were changed or removed.
    """
    root = tree.root(min(earlier.size, tree.size))
    if tree.size < earlier.size or earlier.root != f"sha256:{root.hex()}":
        raise EvidenceError(
            f"the log has {tree.size} entries and does not continue its checkpoint "
            f"of size {earlier.size}: entries were changed or removed; restore the "
            "records database from before that"
        )


def parse_checkpoint(text: bytes, keys: Keys) -> Checkpoint:
    """Check a signed checkpoint and return it as a record.

    Args:
        text: The signed note.
        keys: Public keys one trusts: their 32 raw bytes by name, or lines
            `name+id+key` (C2SP signed-note).

    Raises:
        EvidenceError: It is not a checkpoint, or no trusted key signed it.
    """
    read = open_checkpoint(text, keys)
    return Checkpoint(
        origin=read.origin,
        size=read.size,
        root=f"sha256:{read.root.hex()}",
        note=text.decode(),
    )
