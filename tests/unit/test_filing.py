"""Filing an application: what is kept with the trial besides it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from temporalio.testing import ActivityEnvironment

from sandbox.evidence.retention import regime_of
from sandbox.model.application import Application
from sandbox.model.party import Actor
from sandbox.model.record import digest_of
from sandbox.model.regime import Regime
from sandbox.model.trial import RecorderEndpoint
from sandbox.testing.clock import FixedClock
from sandbox.testing.records import FakeLog, FakeRecords
from sandbox.testing.segments import FakeSegments
from sandbox.testing.signer import ThrowawaySigner
from workflows.activities.keeping import Bundles, Ledger
from workflows.activities.ledger import LedgerActivities
from workflows.activities.site import Site
from workflows.messages import CheckApplication, SubmitApplication

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "ride_dispatch"


def read(name: str) -> dict[str, Any]:
    """Return one document of the experiment."""
    found: dict[str, Any] = yaml.safe_load((EXPERIMENT / name).read_text())
    return found


def test_the_regime_is_kept_with_the_trial_and_its_digest_in_the_log(
    tmp_path: Path,
) -> None:
    """So that years later the period and its law are those of the filing."""
    regime = Regime.model_validate(read("regime.yaml"))
    ledger = Ledger(
        FakeLog(), FakeRecords(), FakeSegments(), ThrowawaySigner(), FixedClock()
    )
    site = Site(
        recorder=RecorderEndpoint(host="198.51.100.7", http_port=1, grpc_port=2),
        load_source="198.51.100.7/32",
        probe_image="sha256:" + "a" * 64,
    )
    activities = LedgerActivities(ledger, site, Bundles(tmp_path))
    asked = read("application.yaml")
    asked["system"]["images"] = {}
    submission = SubmitApplication(
        decision_id="file/1",
        application=Application.model_validate(asked),
        manifests=[],
        by=Actor(name="A", role="applicant"),
    )
    check = CheckApplication(trial_id="ride-1", submission=submission, regime=regime)
    ActivityEnvironment().run(activities.check_application, check)
    assert regime.retention_period is not None
    assert regime_of(ledger.records, "ride-1") == regime
    (entry,) = ledger.log.entries("ride-1")
    assert entry.entry.body["regime_digest"] == digest_of(regime)
