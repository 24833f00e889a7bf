"""`python -m experiments.cel_conformance [--record]`: the suite, as a table."""

from __future__ import annotations

import sys

from experiments.cel_conformance.report import record, run, table

if __name__ == "__main__":
    report = run()
    if sys.argv[1:] == ["--record"]:
        record(report)
    for name, said in (report.differences | report.sql_differences).items():
        sys.stdout.write(f"{name}: {said}\n")
    sys.stdout.write(f"\n{report.engine}, cel.dev/expr {report.suite}\n")
    sys.stdout.write(table(report) + "\n")
