"""Checks a log as it is stored: entries, hashes and checkpoints fit each other.

Rules of this module:

* Every hash is made anew from what it is over (RFC 6962, section 2.1), from the leaves
  up; what is stored is only compared.
* It reads the whole log once, 256 entries at a time.
* The operator checks the own database with it. What others may rely on is a bundle.
"""

from __future__ import annotations

from sandbox.errors import EvidenceError
from sandbox.evidence.hashtree import HashTree
from sandbox.evidence.log import check_continues, check_names
from sandbox.evidence.merkle import leaf_hash, root_of_hashes
from sandbox.evidence.steps import Step, run_steps
from sandbox.evidence.tiles import WIDTH
from sandbox.ports import Log

_RESTORE = "restore the records database from a copy, and find out who changed it"


def check_log(log: Log) -> tuple[Step, ...]:
    """Check a log, step by step.

    Args:
        log: It may grow meanwhile; what comes after the beginning is not looked at.

    Returns:
        Every step up to the first failure, which names the first entry or hash.

    Raises:
        RecordsError: The log cannot be read.
    """
    size = log.size()
    return run_steps(
        [
            ("Every entry has its hash", lambda: _check_entries(log, size)),
            ("Every entry is found by its own names", lambda: _check_names(log, size)),
            ("Every hash above them is right", lambda: _check_hashes(log, size)),
            ("Every checkpoint is of this log", lambda: _check_checkpoints(log)),
        ]
    )


def _check_entries(log: Log, size: int) -> str:
    for start in range(0, size, WIDTH):
        end = min(start + WIDTH, size)
        made = [leaf_hash(leaf) for leaf in log.leaves(start, end)]
        if len(made) < end - start:
            raise EvidenceError(
                f"{end - start - len(made)} of the entries {start} to {end - 1} of the "
                f"log are missing; {_RESTORE}"
            )
        pairs = zip(made, log.hashes(0, start, end), strict=True)
        for index, (again, stored) in enumerate(pairs, start=start):
            if again != stored:
                raise EvidenceError(
                    f"entry {index} of the log does not have the hash stored with it: "
                    f"one of them was changed; {_RESTORE}"
                )
    return f"{size} entries"


def _check_names(log: Log, size: int) -> str:
    check_names(log, 0, size)
    return f"{size} entries"


def _check_hashes(log: Log, size: int) -> str:
    count, level, width = 0, 1, WIDTH
    while full := size // width:
        for number in range(full):
            below = log.hashes(level - 1, number * WIDTH, (number + 1) * WIDTH)
            if log.hashes(level, number, number + 1) != [root_of_hashes(below)]:
                raise _wrong_hash(level, number)
        _check_none_beyond(log, level, full)
        count, level, width = count + full, level + 1, width * WIDTH
    _check_none_beyond(log, level, 0)
    return f"{count} stored hashes"


def _check_none_beyond(log: Log, level: int, full: int) -> None:
    beyond = len(log.hashes(level, full, full + WIDTH))
    # The size is read after the hashes: both may have grown, the size never less.
    if full + beyond > log.size() // WIDTH**level:
        raise _wrong_hash(level, full)


def _check_checkpoints(log: Log) -> str:
    checkpoints = log.checkpoints()
    tree = HashTree(log.hashes, log.size())
    for checkpoint in checkpoints:
        check_continues(checkpoint, tree)
    return f"{len(checkpoints)} checkpoints"


def _wrong_hash(level: int, number: int) -> EvidenceError:
    return EvidenceError(
        f"the stored hash {number} of level {level} does not follow from the entries "
        f"{number * WIDTH**level} and following: it was changed; {_RESTORE}"
    )
