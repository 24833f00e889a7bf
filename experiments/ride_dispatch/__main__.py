"""`python -m experiments.ride_dispatch [--record BUNDLE]`: the recorded run, again.

Without arguments the committed bundle is verified and judged again, and the figures are
compared with those that are committed. `--record BUNDLE` takes another run's bundle.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from experiments.replays.results import differences
from experiments.ride_dispatch.recorded import (
    BUNDLE,
    FOLDER,
    recorded,
    results,
    summary,
)


def main(arguments: list[str]) -> int:
    """Run again, or record; return 0 if the figures are those recorded."""
    if arguments[:1] == ["--record"] and len(arguments) == 2:
        found = results(Path(arguments[1]))
        shutil.rmtree(BUNDLE, ignore_errors=True)
        shutil.copytree(arguments[1], BUNDLE)
        text = json.dumps(found, indent=1, ensure_ascii=False)
        (FOLDER / "recorded.json").write_text(text + "\n")
        (FOLDER / "recorded.md").write_text(summary(found))
        return 0
    fresh = json.loads(json.dumps(results()))
    sys.stdout.write(summary(fresh))
    different = list(differences(recorded(), fresh))
    sys.stdout.write("\n".join(different) or "These are the recorded figures.")
    sys.stdout.write("\n")
    return 1 if different else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
