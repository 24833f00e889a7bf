"""What this installation is: recorder, load source, listeners, the own image."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from pydantic import Field

from sandbox.environment import warm_spec
from sandbox.errors import InputError
from sandbox.model.application import Application, Defect
from sandbox.model.record import Record, digest_of
from sandbox.model.rule import TemporaryRule
from sandbox.model.trial import EnvironmentSpec, RecorderEndpoint
from sandbox.settings import Settings

OWN_IMAGE = "regulatory-sandbox"
NO_OWN_IMAGE = (
    "No image of this product is named for the cluster: no trial can be opened there,"
    " and where no image is installed already, nothing in it removes expired"
    " environments while the worker is stopped. Build one from Containerfile and set"
    f" SANDBOX_IMAGES with {OWN_IMAGE} to its reference, pinned by digest."
)
"""What is said where an installation lacks its own image."""
_PINNED = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")


class LocalFacts(Protocol):
    """What is asked of the servers of this machine."""

    @property
    def host_address(self) -> str:
        """This machine's side of the node."""
        ...

    @property
    def images(self) -> dict[str, str]:
        """Image name → digest."""
        ...

    @property
    def beacons(self) -> dict[str, tuple[str, int]]:
        """Listeners by name."""
        ...


class Site(Record):
    """Facts of one installation that every environment of it shares."""

    recorder: RecorderEndpoint
    load_source: str
    """CIDR that load comes from."""
    own_image: str
    """This product's own image, pinned by digest: it proves the isolation of trials and
    removes expired environments."""
    beacons: dict[str, tuple[str, int]] = Field(default_factory=dict)
    """Listeners that are known to be there: positive controls of the proof."""

    @classmethod
    def of(cls, settings: Settings, servers: LocalFacts | None) -> Site:
        """Return the facts of this machine's node, or of the configured cluster.

        Raises:
            InputError: An existing cluster is used and a setting it needs is missing.
        """
        if servers is not None and not settings.context:
            host, source = servers.host_address, f"{servers.host_address}/32"
            return cls(
                recorder=_endpoint(settings, host),
                load_source=settings.load_source or source,
                own_image=own_image(servers.images),
                beacons=servers.beacons,
            )
        defects = _missing(settings) + _unpinned(settings)
        if defects:
            raise InputError(defects)
        return cls(
            recorder=_endpoint(settings, settings.recorder_host),
            load_source=settings.load_source,
            own_image=own_image(settings.images),
        )

    def environment(
        self, application: Application, *, rule: TemporaryRule, rule_digest: str
    ) -> EnvironmentSpec:
        """Return what the namespace of a trial is made from."""
        foreseen = self.foreseen(
            application, trial_id=rule.trial_id, until=rule.in_force.end
        )
        return foreseen.model_copy(
            update={
                "temporary_rule_digest": rule_digest,
                "rulebook_digest": rule.of.digest,
                "plan_digest": rule.plan_digest,
                "caps": rule.scope.caps,
            }
        )

    def foreseen(
        self, application: Application, *, trial_id: str, until: datetime
    ) -> EnvironmentSpec:
        """Return what a namespace would be made from, before anyone has decided.

        Args:
            application: As filed, or not even that.
            trial_id: Under which name.
            until: When it is to expire.
        """
        nothing = digest_of(b"")
        return EnvironmentSpec(
            trial_id=trial_id,
            isolation_class="N1",
            expires_at=until,
            temporary_rule_digest=nothing,
            rulebook_digest=nothing,
            plan_digest=digest_of(application.plan),
            needs=application.system.needs,
            images=application.system.images,
            probe_image=self.own_image,
            telemetry=application.system.telemetry,
            recorder=self.recorder,
            load_source=self.load_source,
        )

    def warm(self, warm_id: str, *, until: datetime) -> EnvironmentSpec:
        """Return what the namespace of a warm environment is made from."""
        return warm_spec(
            warm_id,
            until=until,
            probe_image=self.own_image,
            recorder=self.recorder,
            load_source=self.load_source,
        )


def _endpoint(settings: Settings, host: str) -> RecorderEndpoint:
    return RecorderEndpoint(
        host=host,
        http_port=settings.recorder_http_port,
        grpc_port=settings.recorder_grpc_port,
    )


def own_image(images: Mapping[str, str]) -> str:
    """Return the reference of the own image, or nothing where there is none.

    Args:
        images: Image name → reference; a bare digest is an image of the node.
    """
    image = images.get(OWN_IMAGE, "")
    return f"localhost/{OWN_IMAGE}@{image}" if image.startswith("sha256:") else image


def _missing(settings: Settings) -> list[Defect]:
    needed = {
        "images": own_image(settings.images),
        "load_source": settings.load_source,
    }
    remedies = {
        "images": "Build this product's image from Containerfile, then set"
        f" SANDBOX_IMAGES to JSON that gives {OWN_IMAGE} its place, NAME@sha256:…",
        "load_source": "Set SANDBOX_LOAD_SOURCE to the CIDR that load comes from",
    }
    return [
        Defect(
            code=f"settings/{field}",
            what=f"an existing cluster needs the setting {field}",
            field=field,
            remedy=remedies[field],
        )
        for field, value in needed.items()
        if not value
    ]


def _unpinned(settings: Settings) -> list[Defect]:
    image = own_image(settings.images)
    if not image or _PINNED.fullmatch(image):
        return []
    return [
        Defect(
            code="settings/images",
            what=f"the image {OWN_IMAGE} is not pinned by a digest: {image}",
            field="images",
            remedy=f"Set SANDBOX_IMAGES with {OWN_IMAGE} to NAME@sha256:…",
        )
    ]
