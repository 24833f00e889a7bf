"""`python -m workflows.cli` is the `sandbox` command."""

from workflows.cli import main

main()
