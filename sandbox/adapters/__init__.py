"""The only I/O of the regulatory logic: a module per port, for composition roots.

| module | port | what is outside |
|---|---|---|
| `clock` | `Clock` | the machine's clock |
| `cluster`, `kubernetes_api` | `Cluster` | a Kubernetes API server |
| `cluster_rights` | – | what a service account may do there |
| `audit_log` | `AuditLog` | the file in which an API server writes who changed what |
| `database` | – | the SQLite file that `records`, `log` and `tokens` share |
| `tables` | – | the tables of that file |
| `records` | `Records` | documents, rulebooks, the list of cases |
| `log`, `log_rows` | `Log` | the transparency log's entries, hashes and checkpoints |
| `log_key` | – | the log's key, and how another takes its place |
| `timestamps` | `Timestamps` | a time-stamping authority |
| `tokens` | `Tokens` | telemetry producers' bearer tokens |
| `segments`, `segment_files` | `Segments` | the recorder's segment files |
| `spans_files`, `spans_folder` | – | files derived from sealed segments |
| `spans_parquet` | – | how such a file is written and read |
| `spans_duckdb`, `spans_duckdb_sql` | `Spans` | DuckDB over those files |
| `spans_duckdb_guard` | – | which statements of a reviewer it may run |
| `spans_chdb`, `spans_chdb_sql` | `Spans` | chDB over those files |
| `spans_chdb_process`, `spans_chdb_worker` | – | the process chDB runs in |
| `spans_chdb_raw` | – | chDB over raw segments: were those files derived truly? |
| `spans_answers` | – | nothing: what all answers have in common |
| `backtest`, `backtest_order` | `Backtests` | rules asked of all recorded spans |
| `backtest_files` | – | those files, as rules are asked of them |
| `backtest_engine` | – | what an engine must do for it |
| `backtest_duckdb`, `backtest_chdb` | – | the engine that counts |
| `comparison`, `comparison_order` | `Comparisons` | two versions over them |
| `objects` | `Objects` | immutable named blobs as files |
| `objects_s3` | `Objects` | the same in an S3-compatible store |
| `objects_place`, `objects_bundle` | – | the store behind a URL; whole bundles in it |
| `subject_keys` | `SubjectKeys` | private keys of data subjects |
| `signer` | `Signer` | the installation's Ed25519 key |
| `durable` | – | files that are there after a power cut |
| `otlp` | – | the recorder's servers, started and stopped together |
| `otlp_http`, `otlp_grpc` | – | senders over HTTP and over gRPC |
| `http_server`, `http_connection`, `http_message` | – | HTTP/1.1 itself |
| `otlp_admin`, `otlp_health` | – | the recorder's own door, and what it tells |
| `otlp_reception`, `otlp_store` | – | a request on its way into a segment file |
| `otlp_numbering` | – | where frames are numbered on after a restart |
| `otlp_refusals`, `otlp_status` | – | what was refused: its count, its words |
| `otlp_sender`, `recorder_door` | – | the recorder, seen by who sends or asks |
| `load` | – | the load generator's process |

An adapter raises only errors of `sandbox.errors`; each passes the contract suite its
fake in `sandbox.testing` passes.
"""
