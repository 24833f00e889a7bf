"""Programs of this product that run inside a cluster, each a composition root.

Rules of this room:

* They need neither Temporal nor anything else of this product to run.
* They hold no credentials but the account that Kubernetes mounts into their pod.
* They start fast, and end by themselves or with their pod; Kubernetes starts others.

| program | what it does |
|---|---|
| `python -m sandbox.incluster.expiry` | removes each environment at its expiry |
| `attempts.py`, as a plain file | tries every address of an isolation proof at once |
| `neighbour.py`, as a plain file | is the neighbour that no trial must reach |
"""
