"""`python -m experiments.release_aid [--record]`: the replay, as tables."""

import sys

from experiments.release_aid.script import EXPERIMENT
from experiments.replays.results import run

if __name__ == "__main__":
    raise SystemExit(run(EXPERIMENT, sys.argv[1:]))
