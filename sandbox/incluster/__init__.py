"""Programs of this product that run inside a cluster, each a composition root.

Rules of this room:

* They need neither Temporal nor anything else of this product to run.
* They hold no credentials but the account that Kubernetes mounts into their pod.
* They start fast and end by themselves; Kubernetes starts them again.

| program | what it does |
|---|---|
| `python -m sandbox.incluster.expiry` | removes each environment at its expiry |
"""
