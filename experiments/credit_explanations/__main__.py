"""`python -m experiments.credit_explanations [--record]`: the replay, as tables."""

import sys

from experiments.credit_explanations.script import FOLDER, results
from experiments.credit_explanations.words import summary
from experiments.replays.results import run

if __name__ == "__main__":
    raise SystemExit(run(FOLDER, results, summary, sys.argv[1:]))
