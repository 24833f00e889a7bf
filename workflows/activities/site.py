"""What this installation is: recorder, load source, cluster addresses, probe image."""

from __future__ import annotations

from sandbox.model.application import Application
from sandbox.model.record import Digest, Record
from sandbox.model.rule import TemporaryRule
from sandbox.model.trial import EnvironmentSpec, ProofTarget, RecorderEndpoint

PROBE_IMAGE = "agnhost"


class Site(Record):
    """Facts of one installation that every environment of it shares."""

    recorder: RecorderEndpoint
    load_source: str
    """CIDR that load comes from."""
    probe_image: Digest
    """Image of the isolation proof."""
    targets: tuple[ProofTarget, ...] = ()
    """What the isolation proof tries besides the trial's own addresses."""

    def environment(
        self, application: Application, *, rule: TemporaryRule, rule_digest: str
    ) -> EnvironmentSpec:
        """Return what the namespace of a trial is made from."""
        return EnvironmentSpec(
            trial_id=rule.trial_id,
            isolation_class="N1",
            expires_at=rule.in_force.end,
            temporary_rule_digest=rule_digest,
            rulebook_digest=rule.of.digest,
            plan_digest=rule.plan_digest,
            needs=application.system.needs,
            images={**application.system.images, PROBE_IMAGE: self.probe_image},
            telemetry=application.system.telemetry,
            recorder=self.recorder,
            load_source=self.load_source,
            caps=rule.scope.caps,
        )
