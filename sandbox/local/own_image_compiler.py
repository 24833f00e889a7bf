"""Compiles modules for an image; run as a program of its own, by its path.

It reads JSON from standard input: `sources`, path in the image → source file, and `to`,
the folder that gets one file per source, named by its number in sorted order. A source
that is no Python of this version (templates do that) gets none.
"""

from __future__ import annotations

import json
import py_compile
import sys
from pathlib import Path


def main() -> None:
    """Compile what standard input orders."""
    orders = json.load(sys.stdin)
    sources = orders["sources"]
    for number, name in enumerate(sorted(sources)):
        target = str(Path(orders["to"], str(number)))
        try:
            py_compile.compile(
                sources[name],
                target,
                dfile=f"/{name}",
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
        except py_compile.PyCompileError:
            continue


if __name__ == "__main__":
    main()
