"""Checkpoints of the transparency log.

Rules of this module:

* A leaf is the canonical JSON of a `LogEntry`; hashing is RFC 6962.
* A checkpoint is signed over origin, size and root (C2SP tlog-checkpoint); every one
  that was ever signed is kept, so that none can be taken back.
* A log that does not continue its largest checkpoint is not signed; nor is one with a
  wrong stored hash over entries that no checkpoint covers yet, or with one among them
  that is not found by its own names.
* Signing takes time in proportion to the entries since the largest checkpoint, not to
  those of the log. That nothing older was changed is shown by `check_log`.
* The key that signs is the one in force at the newest entry (`sandbox.evidence.keys`).
* A cosigned note is kept only if it is one of this log's own checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.errors import EvidenceError
from sandbox.evidence.cosignatures import Cosignature, open_cosignatures
from sandbox.evidence.hashtree import HashTree
from sandbox.evidence.keys import (
    KEY_OWNER,
    KeyHistory,
    LoggedChange,
    NamedSigner,
    build_history,
)
from sandbox.evidence.merkle import leaf_hash
from sandbox.evidence.note import (
    checkpoint_text,
    open_checkpoint,
    signed_note,
    split_note,
)
from sandbox.evidence.vkey import Keys
from sandbox.model.log import Checkpoint, LogEntry
from sandbox.model.record import canonical_json
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
            a stored hash is wrong, or an entry is not found by its own names, or the
            key is not the one in force.
        RecordsError: The log cannot be read, or the checkpoint not be kept.
    """
    # Read before the size: the log may grow in between, and then covers it.
    largest = log.largest_checkpoint()
    tree = HashTree(log.hashes, log.size())
    if largest is not None:
        check_continues(largest, tree)
        _check_in_force(log, signer, largest)
    since = largest.size if largest else 0
    tree.check_since(since)
    check_names(log, since, tree.size)
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


def _check_in_force(log: Log, signer: Signer, largest: Checkpoint) -> None:
    history = key_history(log, signer)
    try:
        history.open(largest.note.encode())
        is_known = history.latest == signer.public_key
    except EvidenceError:
        is_known = False
    if not is_known:
        raise EvidenceError(
            f"the log's checkpoint of size {largest.size} was signed by another key "
            f"than {signer.public_key.hex()}, and no entry says that it was changed: "
            "restore the key from a backup"
        )


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


def check_names(log: Log, start: int, end: int) -> None:
    """Check that entries are found by the id and the trial that was hashed of them.

    Args:
        log: The log.
        start: The first of them.
        end: The one after the last.

    Raises:
        EvidenceError: One is not; names it.
    """
    index = log.misfiled(start, end)
    if index is not None:
        raise EvidenceError(
            f"entry {index} of the log is not found by the id and the trial that it "
            "says: it was hidden from who looks for it; restore the records database "
            "from a copy, and find out who changed it"
        )


def key_history(log: Log, signer: NamedSigner) -> KeyHistory:
    """Return every key of the log, as its entries tell them.

    Args:
        log: The log of this installation.
        signer: Holder of a key; it is the first one where no change is logged.

    Raises:
        EvidenceError: A change of key in the log is not signed by both keys.
    """
    changes = [
        LoggedChange(item.index, item.entry.model_dump(mode="json"))
        for item in log.entries(KEY_OWNER)
    ]
    first = signer.public_key
    if changes:
        first = bytes.fromhex(str(changes[0].entry["body"]["previous"]))
    return build_history(signer.name, first, changes)


def keep_cosigned(
    log: Log, signer: NamedSigner, note: bytes, *, witnesses: Sequence[str] = ()
) -> tuple[Checkpoint, tuple[Cosignature, ...]]:
    """Keep a checkpoint of this log that came back with cosignatures.

    Args:
        log: The log of this installation.
        signer: Holder of the log's key.
        note: The cosigned note.
        witnesses: Verifier keys; with any, one of them must have signed.

    Returns:
        The checkpoint, and the cosignatures that were checked.

    Raises:
        EvidenceError: It is not a checkpoint of this log, nobody cosigned it, or none
            of the witnesses did.
        RecordsError: It cannot be kept.
    """
    said = key_history(log, signer).open(note)
    own = Checkpoint(
        origin=said.origin,
        size=said.size,
        root=f"sha256:{said.root.hex()}",
        note=note.decode(),
    )
    check_continues(own, HashTree(log.hashes, log.size()))
    _, lines = split_note(note)
    if all(line.name == said.origin for line in lines):
        raise EvidenceError(
            "the note carries no cosignature; give the file that the witness made"
        )
    found = open_cosignatures(note, witnesses)
    if witnesses and not found:
        raise EvidenceError("none of the witnesses you name cosigned the note")
    log.keep_cosigned(own)
    return own, found


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
