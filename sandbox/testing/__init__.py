"""Public fakes of every port; each passes the contract suite of its real adapter.

| module | fakes |
|---|---|
| `clock` | `FixedClock` |
| `cluster` | `FakeCluster` |
| `environment` | a specification and a small system to start from |
| `records` | `FakeRecords`, `FakeLog`, `FakeTokens` |
| `segments` | the recorder's segment files, in memory |
| `signer` | a signer with a throwaway key |
| `traces` | recorded spans to look at, and a trace with every oddity |
"""
