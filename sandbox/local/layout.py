"""Where the servers of this machine keep their files, all under `SANDBOX_HOME`.

Rules of this module:

* Removing the home directory removes everything; nothing is kept elsewhere.
* The state directory is readable by its owner alone: it holds the cluster's keys.
* Names of kernel objects (cgroup) follow from the home's path, so that leftovers are
  found again without any record of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sandbox.settings import Settings

Progress = Callable[[str, str], None]
"""Told (stage, what happens); stages: `build`, `temporal`, `kubernetes`, `down`."""


class Layout(NamedTuple):
    """Paths of one installation."""

    home: Path

    @property
    def instance(self) -> str:
        """Name of this home among others on the machine, from its path."""
        return "rsbx-" + hashlib.sha256(str(self.home).encode()).hexdigest()[:8]

    @property
    def run(self) -> Path:
        """One JSON record per process that was started."""
        return self.home / "run"

    @property
    def log(self) -> Path:
        """One log per process; the last start's."""
        return self.home / "log"

    @property
    def cache(self) -> Path:
        """Binaries that were built, by digest of their pinned modules."""
        return self.home / "servers"

    @property
    def temporal(self) -> Path:
        """Temporal's database and configuration; kept when the server goes down."""
        return self.home / "temporal"

    @property
    def node(self) -> Path:
        """The Kubernetes node's files; removed when the node goes down."""
        return self.home / "node"

    @property
    def audit_log(self) -> Path:
        """Where the API server writes who changed what; goes with the node."""
        return self.node / "audit.log"

    @property
    def pki(self) -> Path:
        """The cluster's keys, certificates and kubeconfigs."""
        return self.node / "pki"


def layout_of(settings: Settings) -> Layout:
    """Return the layout under the settings' home, and make its directories."""
    layout = Layout(settings.home.expanduser().resolve())
    layout.home.mkdir(parents=True, exist_ok=True)
    for directory in (layout.run, layout.log):
        directory.mkdir(mode=0o700, exist_ok=True)
    return layout
