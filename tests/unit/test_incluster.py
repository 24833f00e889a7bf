"""Programs in the cluster, and how an installation knows their image."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import kubernetes.config.incluster_config as mounted
import pytest

from sandbox.adapters.cluster import KubernetesCluster
from sandbox.errors import ClusterError, InputError
from sandbox.incluster.expiry import main
from sandbox.settings import Settings
from workflows.activities.site import Site

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64


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
    settings = Settings(
        context="far",
        load_source="192.0.2.0/24",
        images={"agnhost": DIGEST, **named},
    )
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


def test_no_image_is_said() -> None:
    """Without an image environments still work, and a warning says what lacks."""
    assert site().own_image == ""
    assert site().own_image == ""
