"""Load tests: locust in a process of its own, speaking HTTP to the system under trial.

| module | what it does |
|---|---|
| `locustfile` | the only file handed to locust: options, events, the result file |
| `users` | who asks for a dispatch, with a trace context on every request |
| `shapes` | how many users there are at which time, from the profile |
| `histogram` | exact counts of latencies and failures |
| `thresholds` | which limits held, and the verdict |
| `profiles/*.toml` | named load tests as data |

No module here may carry the name of a module of the standard library or of a
dependency: locust puts this folder first on the import path.
"""
