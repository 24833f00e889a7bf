"""The per-span engine against the public conformance suite of CEL."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from experiments.cel_conformance.engine import difference
from experiments.cel_conformance.report import recorded, run_suite, table
from experiments.cel_conformance.suite import Suite, load_suite
from sandbox.errors import LocalError

DOCUMENT = Path(__file__).parents[2] / "docs" / "cel-conformance.md"


@pytest.fixture(name="suite", scope="module")
def _suite() -> Suite:
    try:
        return load_suite()
    except LocalError as error:
        pytest.skip(f"NOT TESTED: conformance to CEL; {error}")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"NOT TESTED: conformance to CEL; {error.stderr[-300:]}")


def test_report(suite: Suite) -> None:
    """Just the tests that are recorded as differences differ, and as recorded."""
    assert run_suite(suite) == recorded()


def test_document() -> None:
    """The counts in the documentation are those recorded."""
    assert table(recorded()) in DOCUMENT.read_text()


def test_a_wrong_answer_is_a_difference(suite: Suite) -> None:
    """A test that agrees differs as soon as another answer is expected."""
    agree = [case for case in suite.cases if case.file == "integer_math"]
    agree = [
        case for case in agree if case.test.WhichOneof("result_matcher") != "eval_error"
    ]
    for case in agree:
        assert difference(case, suite.pool) == ""
        case.test.value.string_value = "another answer"
        assert "not ('string', 'another answer')" in difference(case, suite.pool)


def test_an_answer_where_an_error_is_due_is_a_difference(suite: Suite) -> None:
    """An answer where the suite expects an error does not pass."""
    case = next(c for c in suite.cases if c.id == "basic/functions/binop")
    case.test.eval_error.errors.add(message="overflow")
    assert "an error was expected" in difference(case, suite.pool)
