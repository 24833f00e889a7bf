"""Does a temporary rule, as a document, fit its rulebook?"""

from __future__ import annotations

from importlib.resources import files

import pytest

from sandbox.errors import InputError
from sandbox.rules import read_rulebook, read_temporary_rule, reference

TEXT = (files("experiments.ride_dispatch") / "rulebook.yaml").read_text()
BOOK = read_rulebook(TEXT, file="rulebook.yaml")
RULE = f"""\
temporary_rule: trial/a
trial_id: a
of: {{rulebook: passenger-transport, version: 1, digest: "{reference(BOOK).digest}"}}
in_force:
  start: 2026-04-01T00:00:00Z
  end: 2026-05-01T00:00:00Z
scope: {{participants: customers, area: town}}
overlays:
  - label: waive
    exception_to: dispatch/human-confirmation
    kind: waiver
    under: span.attributes["zone"] == "a"
    compensates: [dispatch/offer-time]
  - label: modify
    exception_to: dispatch/offer-time
    kind: modification
    set: {{max_offer_s: 1.5}}
guardrails: []
plan_digest: sha256:{"a" * 64}
"""


def defects(text):
    with pytest.raises(InputError) as raised:
        read_temporary_rule(text, BOOK, file="t.yaml")
    return [
        (item.code.partition("/")[2], item.line, item.column)
        for item in raised.value.defects
    ]


def test_a_temporary_rule_that_fits_is_read():
    """Its exceptions, with where they hold."""
    rule = read_temporary_rule(RULE, BOOK, file="t.yaml")
    assert [item.label for item in rule.overlays] == ["waive", "modify"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("end: 2026-05", "end: 2026-03", ("wrong-value", 4, 1)),
        ("human-confirmation", "human-konfirmation", ("unknown-rule", 10, 19)),
        ("offer-time\n", "no-personal-data-in-spans\n", ("red-line", 15, 19)),
        ("max_offer_s", "max_offers", ("unknown-parameter", 17, 5)),
        ('"zone"]', '"zone"', ("expression", 12, 41)),
        ("compensates", "set: {x: 1}\n    compensates", ("waiver-sets-values", 13, 5)),
        ("    set: {max_offer_s: 1.5}\n", "", ("modification-without-value", 14, 5)),
        ("version: 1", "version: 2", ("other-version", 3, 1)),
        ("offer-time\n", "human-confirmation\n", ("two-exceptions", 15, 19)),
        ("label: modify", "labels: modify", ("unknown-key", 14, 5)),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(old, new, expected):
    """Ends before it begins, red lines, unknown rules, expressions: line and column."""
    assert expected in defects(RULE.replace(old, new))
