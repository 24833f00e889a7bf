"""A small scoring model: logistic regression with reasons, and where it cannot score.

Rules of this module:

* It is trained on the first rows and decides on the rest. Age, sex, nationality and
  telephone are not read by it.
* It scores nothing outside what it has seen: an amount, term or category beyond its
  training rows gets no score and no decision.
* A reason is a field whose values speak against the applicant, compared with the mean
  applicant of the training rows, by at least `MATERIAL` on the log-odds scale; at most
  `MOST_REASONS` are told, the weightiest first.
* Scores and weights are rounded as they are told, to six decimals; what is decided on
  them does not hang on the last bits of a processor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from sandbox.errors import JudgementError

Floats = NDArray[np.float64]
Row = Mapping[str, str]

NUMBERS = (
    "duration_in_month",
    "credit_amount",
    "installment_rate_in_percentage_of_disposable_income",
    "present_residence_since",
    "number_of_existing_credits_at_this_bank",
    "number_of_people_being_liable_to_provide_maintenance_for",
)
CATEGORIES = (
    "status_of_existing_checking_account",
    "credit_history",
    "purpose",
    "savings_account_and_bonds",
    "present_employment_since",
    "other_debtors_or_guarantors",
    "property",
    "other_installment_plans",
    "housing",
    "job",
)
CUTOFF = 5 / 6
"""Least chance of repayment that is approved: the data's authors count a bad credit
that is granted as five times as costly as a good one that is refused."""
MATERIAL = 0.1
MOST_REASONS = 4
_PENALTY = 1.0
_DIGITS = 6


class Scored(NamedTuple):
    """What the model says of one application."""

    score: float
    """Estimated chance of repayment."""
    reasons: tuple[str, ...]
    """Fields told, weightiest first."""
    share: float
    """Share of all that speaks against the applicant which the reasons carry."""

    @property
    def decision(self) -> str:
        """`approved` or `refused`."""
        return "approved" if self.score >= CUTOFF else "refused"


class Coding(NamedTuple):
    """How a row becomes numbers, as learned from the training rows."""

    lowest: Floats
    highest: Floats
    spread: Floats
    levels: dict[str, tuple[str, ...]]

    def knows(self, row: Row) -> bool:
        """Return whether every value lies within what was seen in training."""
        values = _numbers(row)
        within = np.all((self.lowest <= values) & (values <= self.highest))
        return bool(within) and all(
            row[name] in self.levels[name] for name in CATEGORIES
        )

    def encoded(self, row: Row) -> Floats:
        """Return the row as numbers; levels of a category as 0 and 1."""
        flags = [
            float(row[name] == level)
            for name in CATEGORIES
            for level in self.levels[name]
        ]
        return np.concatenate([_numbers(row) / self.spread, flags])

    def fields(self) -> list[str]:
        """Return the field that each number belongs to."""
        levels = [name for name in CATEGORIES for _ in self.levels[name]]
        return [*NUMBERS, *levels]


class ScoringModel(NamedTuple):
    """A trained model; made by `train`."""

    coding: Coding
    mean: Floats
    intercept: float
    weights: Floats

    def score(self, row: Row) -> Scored | None:
        """Return what the model says; None where it cannot score."""
        if not self.coding.knows(row):
            return None
        parts = (self.coding.encoded(row) - self.mean) * self.weights
        score = float(special.expit(self.intercept + parts.sum()))
        against = self._against(parts)
        told = [name for name, weight in against if weight >= MATERIAL][:MOST_REASONS]
        carried = sum(weight for name, weight in against if name in told)
        whole = sum(weight for _, weight in against)
        share = round(carried / whole, _DIGITS) if whole else 0.0
        return Scored(round(score, _DIGITS), tuple(told), share)

    def _against(self, parts: Floats) -> list[tuple[str, float]]:
        """Fields that speak against the applicant and by how much, weightiest first."""
        sums = dict.fromkeys((*NUMBERS, *CATEGORIES), 0.0)
        for name, part in zip(self.coding.fields(), parts, strict=True):
            sums[name] -= float(part)
        weights = [(name, round(weight, _DIGITS)) for name, weight in sums.items()]
        found = [(name, weight) for name, weight in weights if weight > 0]
        return sorted(found, key=lambda item: (-item[1], item[0]))


def train(rows: Sequence[Row]) -> ScoringModel:
    """Fit the model: penalised maximum likelihood, by Newton steps in a trust region.

    Args:
        rows: Applications with `creditability`, `good` or `bad`.

    Raises:
        JudgementError: The fit does not converge.
    """
    coding = _coding(rows)
    features = np.stack([coding.encoded(row) for row in rows])
    mean = features.mean(axis=0)
    design = np.column_stack([np.ones(len(rows)), features - mean])
    good = np.asarray([row["creditability"] == "good" for row in rows], dtype=float)
    fitted = _fit(design, good)
    return ScoringModel(coding, mean, float(fitted[0]), fitted[1:])


def _fit(design: Floats, good: Floats) -> Floats:
    penalty = np.full(design.shape[1], _PENALTY)
    penalty[0] = 0.0

    def loss(weights: Floats) -> tuple[float, Floats]:
        odds = design @ weights
        value = np.logaddexp(0, odds).sum() - good @ odds + penalty @ weights**2 / 2
        slope = design.T @ (special.expit(odds) - good) + penalty * weights
        return float(value), slope

    def curvature(weights: Floats) -> Floats:
        chance = special.expit(design @ weights)
        return np.asarray(
            (design.T * (chance * (1 - chance))) @ design + np.diag(penalty)
        )

    start = np.zeros(design.shape[1])
    found = optimize.minimize(
        loss,
        start,
        jac=True,
        hess=curvature,
        method="trust-exact",
        options={"gtol": 1e-8},
    )
    if not found.success:
        raise JudgementError(f"The scoring model does not converge: {found.message}")
    return np.asarray(found.x)


def _coding(rows: Sequence[Row]) -> Coding:
    numbers = np.stack([_numbers(row) for row in rows])
    levels = {name: tuple(sorted({row[name] for row in rows})) for name in CATEGORIES}
    return Coding(numbers.min(axis=0), numbers.max(axis=0), numbers.std(axis=0), levels)


def _numbers(row: Row) -> Floats:
    return np.asarray([float(row[name]) for name in NUMBERS])
