"""Public fakes of every port; each passes the contract suite of its real adapter.

| module | fakes |
|---|---|
| `audit` | `FakeAuditLog` |
| `backtest` | `FakeBacktests`, which judges every span by itself |
| `clock` | `FixedClock` |
| `cluster` | `FakeCluster` |
| `cluster_controllers` | what controllers and admission do in it |
| `comparison` | `FakeComparisons` |
| `differential`, `random_rules` | engines asked the same of random rules and spans |
| `environment` | a specification and a small system to start from |
| `faulty_api` | a proxy before a real API server that fails as asked |
| `listed` | `ListedSpans`, spans of trials in lists |
| `records` | `FakeRecords`, `FakeLog`, `FakeTokens` |
| `segments` | the recorder's segment files, in memory |
| `spans` | `FakeSpans`, the reference for questions about spans |
| `objects` | `FakeObjects` |
| `subject_keys` | `FakeSubjectKeys` |
| `signer` | a signer with a throwaway key |
| `authority` | a time-stamping authority, and its server |
| `recorder` | a real recorder in a process, to fill, break and kill |
| `trial` | a small recorded trial, on any ports |
| `custody` | a trial whose evidence may be erased |
| `insider` | a bundle changed by who holds the log's key |
| `patterns` | what rules about the order of spans mean, told slowly and plainly |
| `random_tracks`, `random_order` | random spans for them |
| `object_rules` | a rulebook with a rule about what is deployed, and an overlay |
| `rules` | a rulebook of one rule |
| `traces` | recorded spans to look at, and a trace with every oddity |
"""
