"""Durable programs and the doors to them; the only Temporal code.

| module | what it is |
|---|---|
| `messages` | inputs and results of workflows, updates, signals, queries |
| `options` | one table: every activity, its queue, timeouts, heartbeat, retry |
| `recording` | how a workflow writes into the evidence log |
| `activities` | thin: ports in, ports out |
| `trial` | the whole case, months, continue-as-new |
| `review` | one decision by several people |
| `environment` | provision, freeze, thaw, tear down |
| `monitor` | one window after another |
| `revision` | proposal, consultation, adoption or retention |
| `reaper` | finds environments past expiry or without an owner |
| `warm` | keeps environments that are proven before a trial asks |
| `client` | typed client, used by every door |
| `worker` | composition root: settings → adapters → activities → workers |
| `cli` | the `sandbox` command |
"""
