"""Frozen records shared by all rooms, one family per file.

| file | what it holds |
|---|---|
| `record` | the base, digests, instants, intervals, canonical JSON |
| `instants` | instants, and nanoseconds since 1970 |
| `document` | YAML text → record, every problem with file, line and column |
| `places` | where things stand in a document, down to a character |
| `sentences` | what a schema says is wrong, in sentences that help |
| `party` | applicants, authorities, actors and their roles |
| `regime` | a jurisdiction's scheme as data |
| `application` | what the innovator files, and its defects |
| `decision` | opinions, conditions, the decision, refused attempts |
| `pattern` | what a rule may ask of the order of spans |
| `rule` | rulebooks, waivers, guardrails, temporary rules, amendments |
| `example` | examples kept beside a rulebook |
| `trial` | the case's states, the environment, the isolation proof |
| `isolation` | what an examination of a cluster's isolation found |
| `drift` | what of an environment was changed by others, and what came of it |
| `observation` | spans, what a rule says of one, breaches |
| `trace` | questions about recorded spans, and answers with places |
| `damage` | segments that cannot be read, as the log says |
| `segment` | evidence segments, gaps, completeness, what was refused |
| `log` | entries of the log, checkpoints, timestamps, verification |
| `backtest` | a version of a rulebook asked of what was recorded |
| `comparison` | two versions of the rules asked of what was recorded, at once |
| `impact` | figures of a revision that can be run again |
| `erasure` | holds, erased segments, destroyed keys of data subjects |
| `load` | what a load test did, and whether limits held |
| `closing` | what a trial was closed on, where no other entry says it |
| `finding` | looks, verdicts, findings, the exit report |
| `proposal` | revision proposals, consultations, adoption, retention |
"""
