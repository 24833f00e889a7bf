"""`python -m experiments.credit_explanations [--record]`: the replay, as tables."""

import sys

from experiments.credit_explanations.script import EXPERIMENT
from experiments.replays.results import run

if __name__ == "__main__":
    raise SystemExit(run(EXPERIMENT, sys.argv[1:]))
