"""What the replays of recorded data share.

A replay takes a data set that others recorded, turns its rows into spans, and has them
judged by the rules, guardrails and judge of a trial. It needs no trial environment and
has no legal effect: no trial took place under these rules.

| module | question |
|---|---|
| `bundled` | where does the data come from, and is it there? |
| `papers` | which rules, which temporary rule, which locked plan? |
| `course` | what do rules, guardrails and judge say of the spans? |
| `picture` | how is a chart of it drawn? |
| `results` | is it what is recorded, and what does a person read? |
"""
