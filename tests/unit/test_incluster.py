"""Programs in the cluster, and how an installation knows their image."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import kubernetes.config.incluster_config as mounted
import pytest
import yaml

from sandbox.adapters.cluster import KubernetesCluster
from sandbox.environment import environment_objects
from sandbox.errors import ClusterError, InputError
from sandbox.incluster.expiry import main
from sandbox.model.application import Application
from sandbox.model.record import Interval
from sandbox.model.rule import RulebookRef, Scope, TemporaryRule
from sandbox.settings import Settings
from workflows.activities.site import Site

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64
EXPERIMENT = Path(__file__).parents[2] / "experiments" / "ride_dispatch"


@pytest.fixture(name="pod")
def _pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What Kubernetes mounts into a pod; returns the file of the token."""
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("first")
    authority.write_text("certificate")
    monkeypatch.setattr(mounted, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(mounted, "SERVICE_CERT_FILENAME", str(authority))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return token


def test_outside_a_pod(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a mounted account the program fails, and says what is missing."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert main(["--watch", "1"]) == 1
    assert "automountServiceAccountToken: true" in capsys.readouterr().out
    with pytest.raises(ClusterError) as caught:
        KubernetesCluster.from_service_account()
    assert not caught.value.retryable


def test_a_renewed_token_is_read_again(
    pod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubernetes renews the mounted token; the old one is not kept for ever."""
    now = NOON
    clock = SimpleNamespace(now=lambda: now)
    moved = SimpleNamespace(datetime=clock, timedelta=timedelta)
    monkeypatch.setattr(mounted, "datetime", moved)
    cluster = KubernetesCluster.from_service_account()
    configuration = cluster._client.configuration
    pod.write_text("second")
    assert configuration.get_api_key_with_prefix("BearerToken") == "bearer first"
    now += timedelta(minutes=2)
    assert configuration.get_api_key_with_prefix("BearerToken") == "bearer second"
    cluster.close()


def site(**images: str) -> Site:
    named = {name.replace("_", "-"): image for name, image in images.items()}
    settings = Settings(context="far", load_source="192.0.2.0/24", images=named)
    return Site.of(settings, None)


def test_the_image_of_another_cluster() -> None:
    """A digest names an image of the node, a pinned reference one of a registry."""
    registry = f"registry.example/sandbox@{DIGEST}"
    assert site(regulatory_sandbox=registry).own_image == registry
    local = site(regulatory_sandbox=DIGEST).own_image
    assert local == f"localhost/regulatory-sandbox@{DIGEST}"


def test_an_image_without_digest() -> None:
    """A tag can be moved, so it is refused, and the message says what to write."""
    with pytest.raises(InputError, match=r"not pinned.*NAME@sha256"):
        site(regulatory_sandbox="registry.example/sandbox:1")


def test_no_image() -> None:
    """Without an image no installation opens trials in another cluster: nothing would
    prove their isolation or end them. The message says what to set.
    """
    with pytest.raises(InputError, match=r"SANDBOX_IMAGES.*regulatory-sandbox"):
        site(agnhost=DIGEST)


def test_an_environment_allows_the_image() -> None:
    """What proves the isolation is this installation's image and no applicant's, even
    one of the same name; its digest is allowed beside those of the application.
    """
    own = f"registry.example/sandbox@{DIGEST}"
    theirs = {"regulatory-sandbox": "sha256:" + "b" * 64}
    asked = yaml.safe_load((EXPERIMENT / "application.yaml").read_text())
    asked["system"]["images"] = theirs
    rule = TemporaryRule(
        temporary_rule="trial/fleet",
        trial_id="fleet",
        of=RulebookRef(rulebook="b", version=1, digest=DIGEST),
        in_force=Interval(start=NOON, end=NOON + timedelta(days=1)),
        scope=Scope(participants="p", area="a"),
        overlays=(),
        guardrails=(),
        plan_digest=DIGEST,
    )
    spec = site(regulatory_sandbox=own).environment(
        Application.model_validate(asked), rule=rule, rule_digest=DIGEST
    )
    assert (spec.images, spec.probe_image) == (theirs, own)
    params = next(
        item
        for item in environment_objects(spec, recorder_token="t")
        if item["metadata"]["name"] == "trial-params"
    )
    assert params["data"]["images"].split() == [DIGEST, "sha256:" + "b" * 64]
