"""The only I/O of the regulatory logic: a module per port, for composition roots.

| module | port | what is outside |
|---|---|---|
| `clock` | `Clock` | the machine's clock |
| `cluster` | `Cluster` | a Kubernetes API server |
| `database` | – | the SQLite file that `records`, `log` and `tokens` share |
| `records` | `Records` | documents, rulebooks, the list of cases |
| `log` | `Log` | the transparency log's entries and checkpoints |
| `tokens` | `Tokens` | telemetry producers' bearer tokens |
| `segments` | `Segments` | the recorder's segment files |
| `objects` | `Objects` | immutable named blobs |
| `signer` | `Signer` | the installation's Ed25519 key |
| `otlp` | – | the recorder's servers |
| `load` | – | the load generator's process |

An adapter raises only errors of `sandbox.errors`; each passes the contract suite its
fake in `sandbox.testing` passes.
"""
