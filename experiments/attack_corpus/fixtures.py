"""The fixtures of Pod Security: fetched, checked, and completed for a trial.

Rules of this module:

* They are of the Go module `k8s.io/pod-security-admission`, at the version and with the
  checksum of the Kubernetes that the local node runs; none of them lies here.
* What our own policies ask for is filled in alike in what must fail and what must pass;
  a field that a fixture sets is never changed, its images excepted.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from experiments.attack_corpus.attempt import Attack, applied
from sandbox.local.templates import local_file
from sandbox.local.toolchain import find_toolchain, needed_version
from sandbox.ports import KubernetesObject

_MODULE = "k8s.io/pod-security-admission"
_PINS = "modules/kubernetes"
_FOLDER = ("test", "testdata", "restricted")

CHECKS = {
    "allowprivilegeescalation": "allowPrivilegeEscalation != false",
    "apparmorprofile": "forbidden AppArmor profile",
    "capabilities_baseline": "unrestricted capabilities",
    "capabilities_restricted": "unrestricted capabilities",
    "hostnamespaces": "host namespaces",
    "hostpathvolumes": 'restricted volume type "hostPath"',
    "hostports": "hostPort",
    "hostprobesandhostlifecycle": "probe or lifecycle host",
    "privileged": "privileged",
    "procmount": "procMount",
    "procmount_restricted": "procMount",
    "restrictedvolumes": "restricted volume types",
    "runasnonroot": "runAsNonRoot != true",
    "runasuser": "runAsUser=0",
    "seccompprofile_baseline": "seccompProfile",
    "seccompprofile_restricted": "seccompProfile",
    "selinuxoptions": "seLinuxOptions",
    "sysctls": "forbidden sysctls",
    "windowshostprocess": "hostProcess",
}
"""Check, as fixtures are named → what a refusal by it says; some checks of the level
*baseline* are said in the words of the stricter one of *restricted*."""


class PublicPod(NamedTuple):
    """One pod of the suite."""

    name: str
    check: str
    """Key of `CHECKS`, or `base`."""
    must_pass: bool
    pod: KubernetesObject


class PublicPods(NamedTuple):
    """The newest fixtures of a version of the module."""

    module: str
    """Version of the module, for example v0.36.3."""
    level: str
    """Version of Pod Security they are for, for example v1.35."""
    items: tuple[PublicPod, ...]


def load_fixtures() -> PublicPods:
    """Fetch the fixtures, or take them from Go's cache, and read the newest.

    Raises:
        LocalError: There is no Go toolchain.
        subprocess.CalledProcessError: They cannot be fetched, or differ from what
            is pinned.
    """
    folder, version = _fetched()
    newest = max(folder.joinpath(*_FOLDER).iterdir(), key=_numbers)
    items = tuple(
        _fixture(path)
        for kind in ("fail", "pass")
        for path in sorted((newest / kind).glob("*.yaml"))
    )
    return PublicPods(version, newest.name, items)


def fixture_attacks(
    found: PublicPods, image: str, namespace: str
) -> Iterator[tuple[Attack, ...]]:
    """Yield the attacks of each fixture that must fail: one for each possible control.

    The controls are the fixtures of the same check that must pass, and the simplest.

    Args:
        found: The fixtures.
        image: Reference of an image that the decision allows.
        namespace: The trial's.
    """
    good = [item for item in found.items if item.must_pass]
    for item in found.items:
        if not item.must_pass:
            attempt = applied(completed(item.pod, image, namespace))
            beside = [one for one in good if one.check == item.check]
            yield tuple(
                Attack(
                    "privilege",
                    item.name,
                    attempt,
                    applied(completed(control.pod, image, namespace)),
                    "pod-security",
                    CHECKS[item.check],
                )
                for control in (*beside, *(g for g in good if g.name == "base"))
            )


def completed(pod: KubernetesObject, image: str, namespace: str) -> KubernetesObject:
    """Return a fixture as a pod of a trial, with what our own policies ask for."""
    made = copy.deepcopy(pod)
    metadata, spec = made["metadata"], made["spec"]
    metadata["namespace"] = namespace
    # Some fixtures have names that no object can have.
    metadata["name"] = metadata["name"].replace("_", "-")
    spec["priorityClassName"] = "regulatory-sandbox-trial"
    spec["automountServiceAccountToken"] = False
    for key in ("containers", "initContainers"):
        for container in spec.get(key, []):
            container["image"] = image
            if spec.get("os", {}).get("name") != "windows":
                security = container.setdefault("securityContext", {})
                security.setdefault("readOnlyRootFilesystem", True)
    for volume in spec.get("volumes", []):
        _complete_volume(volume, image)
    return made


def _complete_volume(volume: dict[str, Any], image: str) -> None:
    if "emptyDir" in volume:
        volume["emptyDir"].setdefault("sizeLimit", "1Mi")
    if "image" in volume:
        volume["image"]["reference"] = image


def _fetched() -> tuple[Path, str]:
    go = find_toolchain(needed_version("kubernetes")).go
    with tempfile.TemporaryDirectory() as work:
        for name in ("go.mod", "go.sum"):
            pinned = local_file(f"{_PINS}/{name}").read_bytes()
            (Path(work) / name).write_bytes(pinned)
        done = subprocess.run(
            ["env", "GOTOOLCHAIN=local", "GOFLAGS=", "GOWORK=off"]
            + [str(go), "mod", "download", "-json", _MODULE],
            cwd=work,
            check=True,
            capture_output=True,
            text=True,
        )
    said = json.loads(done.stdout)
    return Path(said["Dir"]), str(said["Version"])


def _numbers(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", folder.name))


def _fixture(path: Path) -> PublicPod:
    check = path.stem.rstrip("0123456789")
    known = check if check in CHECKS else "base"
    pod = yaml.safe_load(path.read_text())
    return PublicPod(path.stem, known, path.parent.name == "pass", pod)
