"""`python -m experiments.release_aid [--record]`: the replay, as tables."""

import sys

from experiments.release_aid.script import FOLDER, results
from experiments.release_aid.words import summary
from experiments.replays.results import run

if __name__ == "__main__":
    raise SystemExit(run(FOLDER, results, summary, sys.argv[1:]))
