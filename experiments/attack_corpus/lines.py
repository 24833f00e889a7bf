"""What admission refuses, line by line: the list that the corpus has to cover.

The list is the promise of the product about objects; `docs/attacks.md` shows it with
the number of attacks on each line. A line without an attack fails a test.
"""

from __future__ import annotations

LINES = {
    "image": "An image that is not pinned by a digest of the decision: of containers,"
    " init and ephemeral containers, and image volumes",
    "limits": "A container without limits of cpu and memory",
    "user-namespace": "A pod in the node's user namespace, where the node has others",
    "root": "A container that may run as root, also in a user namespace",
    "privilege": "Privileges: escalation, capabilities, host namespaces and paths,"
    " seccomp and SELinux, procMount, Windows",
    "token": "A token of the API server in a pod: mounted, projected, or another"
    " credential of the cluster",
    "placement": "A node, scheduler, priority, runtime class or toleration of its own",
    "host-port": "A port of the node",
    "names": "Host aliases, a resolver of its own",
    "writable": "A writable root file system",
    "volume": "A volume without bound, one the node mounts, one that outlives the pod",
    "kernel": "Kernel parameters",
    "device": "Devices of the node (dynamic resource allocation)",
    "late-end": "A grace period that outlives the end of the trial",
    "service": "A Service with a port of the node, a load balancer, an external name or"
    " address, or without selector",
    "endpoints": "Endpoints, Service addresses, pod addresses and bindings by hand",
    "way-in": "Ingress and Gateway",
    "rights": "Roles with wildcards, or rights that lead further; bindings to cluster"
    " roles, to accounts and to groups of the system",
    "credential": "Tokens: requested, or as a Secret; accounts that mount one",
    "finalizer": "A finalizer nobody removes, on any kind",
    "disruption": "A budget that stops eviction",
    "managed": "A change of what limits the trial: policies, quotas, limit ranges,"
    " accounts, roles, `trial-params`, `recorder-token`",
    "namespace": "A change of the namespace's labels, or of its end",
    "entry": "exec, attach, port-forward and proxy into a running pod",
    "kind": "What starts pods by itself, in any template, and what keeps data",
}
"""Key of a line → the line."""
