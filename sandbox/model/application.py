"""What the innovator files: the application, its trial plan, and what is wrong with it.

The shape follows the papers real schemes ask for: METI's demonstration plan, the UK
FCA's test plan, the EU AI Act's sandbox plan (Art. 57(5)).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from sandbox.model.party import Applicant
from sandbox.model.record import Digest, Identifier, Period, Record, TrialId
from sandbox.model.rule import HarmDesign


def _absent(**bounds: Any) -> Any:
    """Return a field that older plans do not have: left out where it says nothing.

    So the canonical JSON of such a plan, and its digest, stay what they were.
    """
    return Field(default=None, exclude_if=lambda value: value is None, **bounds)


class Defect(Record):
    """One thing wrong with a document: what, where, under which rule, the remedy."""

    kind: Literal["defect"] = "defect"
    code: Identifier
    """Stable name of the check, for example `application/rule-not-named`."""
    what: str
    """What is wrong."""
    remedy: str
    """What would make it right."""
    file: str = ""
    line: int | None = None
    """Line in `file`, counted from 1; None when the place is not a line."""
    column: int | None = None
    """Column in the line, counted from 1 in characters; None where it is not known."""
    offset: int | None = None
    """Character in the text of `field` that is to blame, counted from 0, if one is."""
    field: str = ""
    """Dotted path of the field, for example `plan.goals.0.threshold`."""
    source: str = ""
    """Provision that asks for it, where one does."""

    def sentence(self) -> str:
        """Return the defect as one line: place, what is wrong, what to do."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        place += f":{self.column}" if self.line and self.column else ""
        where = " ".join(part for part in (place, self.field) if part)
        law = f" ({self.source})" if self.source else ""
        return f"{where}: {self.what}{law}. {self.remedy}".removeprefix(": ")


class Innovation(Record):
    """What is new, and why anyone should want it tried."""

    summary: str
    novelty: str
    public_benefit: str
    readiness: str


class RequestedWaiver(Record):
    """One rule the innovation collides with, and what is asked of it."""

    rule: Identifier
    request: Literal["waiver", "modification"]
    set: dict[str, float] = Field(default_factory=dict)
    """New parameter values; for a modification only."""
    under: str = "true"
    """CEL over `span`, `params`: where it is asked for; everywhere by default."""
    compensates: tuple[Identifier, ...] = ()
    """Rules whose waiver this modification is the compensating measure for."""
    why: str


class Participants(Record):
    """Who of the public takes part, how many, and how they consent."""

    participant_class: str = Field(alias="class")
    max: int = Field(gt=0)
    consent: str
    area: str


class TrialPeriod(Record):
    """How long the trial runs, and until when it must have begun."""

    length: Period
    must_start_within: Period


class Estimand(Record):
    """The quantity a goal speaks of, over the units of one rule.

    Either the proportion of units with a result, or the mean of a bounded value of
    their spans.
    """

    proportion: Literal["satisfied", "violated"] | None = _absent()
    """Result whose share counts: `satisfied` is to be at least, `violated` at most."""
    mean: str | None = _absent()
    """Field whose mean counts: `span.duration_s`, or `span.attributes.` and a key."""
    of: Identifier
    claim: Literal["at_least", "at_most"] | None = _absent()
    """On which side of the threshold the mean is claimed to lie."""
    least: float | None = _absent(allow_inf_nan=False)
    """Smallest value that is possible, for a mean."""
    most: float | None = _absent(allow_inf_nan=False)
    """Largest value that is possible, for a mean."""

    @model_validator(mode="after")
    def _is_one_quantity(self) -> Estimand:
        bounds = (self.claim, self.least, self.most)
        if (self.proportion is None) == (self.mean is None):
            raise ValueError(
                "must speak of one quantity; write `proportion` or `mean`, and `of`"
            )
        if self.mean is None and bounds != (None, None, None):
            raise ValueError(
                "has bounds, but is a proportion; remove `claim`, `least` and `most`"
            )
        if self.mean is not None:
            if self.claim is None or self.least is None or self.most is None:
                raise ValueError(
                    "is a mean without its bounds; add `claim: at_least` or `at_most`,"
                    " and the `least` and `most` that a value can be"
                )
            if self.least >= self.most:
                raise ValueError("has bounds that do not rise; exchange them")
        return self

    @property
    def direction(self) -> Literal["at_least", "at_most"]:
        """On which side of the threshold the quantity is claimed to lie."""
        if self.claim is not None:
            return self.claim
        return "at_least" if self.proportion == "satisfied" else "at_most"


class Stages(Record):
    """What a two-stage design must not miss; the threshold is Simon's `p0`."""

    p1: float = Field(gt=0, lt=1)
    """Proportion that must not be missed, on the side that is claimed."""
    beta: float = Field(gt=0, le=0.5)
    """Largest chance of missing it."""
    choose: Literal["optimal", "minimax"] = "optimal"
    """Fewest units on average at the threshold, or fewest at most."""


class Arms(Record):
    """How a randomised comparison of two groups is read, fixed beforehand."""

    by: str
    """Field that names the arm of a unit, for example `span.attributes.arm`."""
    treated: str
    """Value of `by` in the arm that is claimed to do better."""
    control: str
    """Value of `by` in the other arm."""
    block_treated: int = Field(gt=0, default=1)
    """Units of this arm in a block; a block is judged when both arms have theirs."""
    block_control: int = Field(gt=0, default=1)
    """Units of the other arm in a block."""


class Equivalence(Record):
    """Proportions that make no difference to anyone; described, never decided on."""

    least: float = Field(ge=0, le=1)
    most: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _rises(self) -> Equivalence:
        if self.least > self.most:
            raise ValueError("does not rise; exchange `least` and `most`")
        return self


Design = Literal[
    "confidence-sequence", "one-sided-sequence", "two-stage", "fixed", "two-arm"
]
"""How a goal is judged. The sequences and two arms hold whenever one looks; two stages
at the end of each stage; fixed at one number of units only."""


class Hypothesis(Record):
    """A goal as a claim that evidence can refute; judged by `sandbox.findings`."""

    goal: Identifier
    claim: str
    unit: str
    estimand: Estimand
    design: Design
    threshold: float = Field(allow_inf_nan=False)
    """A proportion; for a mean, in the unit of the value; for two arms the difference
    that is to be exceeded, which is 0."""
    alpha: float = Field(gt=0, le=0.5)
    minimum_units: int = Field(gt=0)
    """Units below which nothing is concluded; for a fixed design the number judged,
    for two stages that of both together."""
    missing: Literal["count-both-ways"]
    stages: Stages | None = _absent()
    arms: Arms | None = _absent()
    equivalence: Equivalence | None = _absent()

    @field_validator("threshold")
    @classmethod
    def _is_possible(cls, value: float, info: ValidationInfo) -> float:
        if not {"estimand", "design"} <= info.data.keys():
            return value  # One of them was refused: what is possible is not known.
        estimand = info.data["estimand"]
        if info.data["design"] == "two-arm":
            if value != 0:
                raise ValueError(
                    f"is {value:g}, but of two arms only a difference above 0 is"
                    " judged; write `threshold: 0`"
                )
            return value
        low, high = 0.0, 1.0
        if isinstance(estimand, Estimand) and estimand.mean is not None:
            low, high = estimand.least or 0.0, estimand.most or 0.0
        if not low < value < high:
            example = "0.95" if (low, high) == (0, 1) else f"{(low + high) / 2:g}"
            raise ValueError(
                f"must be a number between {low:g} and {high:g}, not {value:g}; write"
                f" for example `threshold: {example}`"
            )
        return value


class SignalRule(Record):
    """When a harm is signalled: exact Poisson MaxSPRT, at the looks of its design."""

    design: HarmDesign
    alpha: float = Field(gt=0, le=0.5)
    min_events: int = Field(ge=1, default=1)
    horizon: float = Field(gt=0, default=50.0)
    """Length of surveillance in events expected under `baseline_rate`."""
    looks_every: int | None = _absent(ge=2)
    """Units in a group, for the grouped design: it is looked at after each full group
    only."""


class Harm(Record):
    """A harm the plan watches for, at which rate it is normal, and what follows."""

    harm: Identifier
    of: Identifier
    """The rule whose violation is the harmful event."""
    baseline_rate: float = Field(gt=0, lt=1)
    """Probability of the event per unit that is accepted as normal."""
    signal: SignalRule
    action: Literal["warn", "pause", "stop"]


class TrialPlan(Record):
    """What will be done and how it will be judged; locked before anything runs.

    Its digest is an entry of the evidence log before the environment exists. Goals
    added later are exploratory for ever.
    """

    kind: Literal["trial-plan"] = "trial-plan"
    goals: tuple[Hypothesis, ...]
    harms: tuple[Harm, ...] = ()
    order_of_analysis: tuple[Identifier, ...]
    settling_time: Period
    """After this long without a new span, a unit is complete."""


class Safeguard(Record):
    """A risk and the measure against it."""

    risk: str
    measure: str


class IncidentProcedure(Record):
    """What the applicant does when something goes wrong, and whom to call."""

    procedure: str
    contact: str


class ExitPlan(Record):
    """What happens after the trial, whatever its result."""

    after_success: str
    after_failure: str
    for_customers: str


class IngressNeed(Record):
    """A way in that the system needs: from whom, to which service and port."""

    source: Literal["load-source"] = Field(alias="from")
    to: str
    port: int = Field(gt=0, lt=65536)


class EgressNeed(Record):
    """A way out that the system needs, beyond DNS, itself and the recorder."""

    cidr: str
    port: int = Field(gt=0, lt=65536)
    why: str


class Limits(Record):
    """The most the whole system may use, as Kubernetes quantities."""

    cpu: str
    memory: str
    pods: int = Field(gt=0, le=100)


class SystemNeeds(Record):
    """What the system needs from its environment."""

    egress: tuple[EgressNeed, ...] = ()
    ingress: tuple[IngressNeed, ...] = ()
    limits: Limits


class Telemetry(Record):
    """How the system reports what it does."""

    protocol: Literal["otlp-http", "otlp-grpc"]
    services: tuple[str, ...]


class SystemUnderTrial(Record):
    """The technology itself: manifests, images pinned by digest, needs, telemetry."""

    manifests: str
    """Folder of plain Kubernetes YAML, relative to the application."""
    images: dict[str, Digest]
    """Image name → digest; nothing else may run."""
    needs: SystemNeeds
    telemetry: Telemetry


class Application(Record):
    """The whole application, as filed."""

    kind: Literal["application"] = "application"
    application: TrialId
    regime: Identifier
    rulebook: Identifier
    applicant: Applicant
    innovation: Innovation
    collides_with: tuple[RequestedWaiver, ...] = ()
    participants: Participants
    period: TrialPeriod
    plan: TrialPlan
    safeguards: tuple[Safeguard, ...] = ()
    incidents: IncidentProcedure
    exit: ExitPlan | None = None
    system: SystemUnderTrial
    confidential: tuple[str, ...] = ()
    """Top-level fields the applicant asks not to disclose."""
