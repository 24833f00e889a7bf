"""Load tests: locust in a process of its own, speaking HTTP to the system under trial.

| module | what it does |
|---|---|
| `locustfile` | the only file handed to locust: options, events, the result file |
| `plan` | which requests a profile asks for, and how many users at which time |
| `users` | who asks for a dispatch, and waits for the answer |
| `shapes` | hands the stages of the profile to locust |
| `histogram` | exact counts of latencies and failures |
| `thresholds` | which limits held, and the verdict |
| `profiles/*.toml` | named load tests as data |

No module here may carry the name of a module of the standard library or of a
dependency: locust puts this folder first on the import path.
"""
