"""Statistics that hold however often, and whenever, one looks.

Rules of this package:

* Every interval, threshold and e-value keeps its error chance under the looking that
  its docstring names, and in small samples; nothing rests on a normal approximation.
* Arguments are keyword-only, so that a call reads like the plan it carries out.
* What watches live judges afterwards: the harm tests are those of `sandbox.monitor`,
  re-exported.

| question | anytime | looks fixed beforehand | one look, for comparison |
|---|---|---|---|
| a proportion | `proportion` | `two_stage` | `fixed` |
| a mean of values between 0 and 1 | `mean`, `betting` | | |
| a raised rate of events | | `sandbox.monitor.maxsprt`, `.grouped` | |
| what one believes, beside the others | | | `posterior` |

`design` says of each of them, exactly, how often it gives which verdict and when.
"""

from sandbox.findings.sequential.betting import betting_interval, betting_log_value
from sandbox.findings.sequential.design import (
    Characteristics,
    EverChances,
    GoalDesign,
    anytime_design,
    ever_chances,
    fixed_design,
    jeffreys_design,
    mean_design,
    one_sided_design,
    operating_characteristics,
    two_stage_design,
)
from sandbox.findings.sequential.fixed import clopper_pearson, exact_p_value
from sandbox.findings.sequential.mean import (
    mean_interval,
    mean_limit,
    mean_log_value,
    scaled,
)
from sandbox.findings.sequential.posterior import Posterior, jeffreys_posterior
from sandbox.findings.sequential.proportion import (
    Claim,
    bernoulli_interval,
    bernoulli_limit,
    bernoulli_log_mixture,
    bernoulli_log_value,
)
from sandbox.findings.sequential.running import RunningInterval, running_intersection
from sandbox.findings.sequential.two_stage import (
    TwoStageDesign,
    TwoStageDesigns,
    simon_two_stage,
)
from sandbox.monitor.grouped import (
    binomial_maxsprt_boundaries,
    binomial_maxsprt_llr,
    binomial_maxsprt_threshold,
    poisson_maxsprt_boundaries,
    poisson_maxsprt_group_threshold,
    signal_stopping,
    unit_boundaries,
)
from sandbox.monitor.maxsprt import (
    false_signal_chance,
    poisson_maxsprt_llr,
    poisson_maxsprt_threshold,
    poisson_signal_chance,
    unit_threshold,
)

__all__ = [
    "Characteristics",
    "Claim",
    "EverChances",
    "GoalDesign",
    "Posterior",
    "RunningInterval",
    "TwoStageDesign",
    "TwoStageDesigns",
    "anytime_design",
    "bernoulli_interval",
    "bernoulli_limit",
    "bernoulli_log_mixture",
    "bernoulli_log_value",
    "betting_interval",
    "betting_log_value",
    "binomial_maxsprt_boundaries",
    "binomial_maxsprt_llr",
    "binomial_maxsprt_threshold",
    "clopper_pearson",
    "ever_chances",
    "exact_p_value",
    "false_signal_chance",
    "fixed_design",
    "jeffreys_design",
    "jeffreys_posterior",
    "mean_design",
    "mean_interval",
    "mean_limit",
    "mean_log_value",
    "one_sided_design",
    "operating_characteristics",
    "poisson_maxsprt_boundaries",
    "poisson_maxsprt_group_threshold",
    "poisson_maxsprt_llr",
    "poisson_maxsprt_threshold",
    "poisson_signal_chance",
    "running_intersection",
    "scaled",
    "signal_stopping",
    "simon_two_stage",
    "two_stage_design",
    "unit_boundaries",
    "unit_threshold",
]
