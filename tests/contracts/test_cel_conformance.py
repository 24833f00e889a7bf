"""The per-span engine, and SQL, against the public conformance suite of CEL."""

from __future__ import annotations

import copy
import subprocess
from pathlib import Path

import pytest

from experiments.cel_conformance.engine import difference
from experiments.cel_conformance.report import recorded, run_suite, table
from experiments.cel_conformance.sql import ask_engines
from experiments.cel_conformance.suite import Case, Suite, load_suite
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


def copied(case: Case) -> Case:
    """Return a test that may be changed."""
    return case._replace(test=copy.deepcopy(case.test))


def test_report(suite: Suite) -> None:
    """Just the tests that are recorded as differences differ, and as recorded."""
    assert run_suite(suite) == recorded()


def test_no_sql_differs() -> None:
    """What is put into SQL gives the answer of the suite, with both engines."""
    assert recorded().sql_differences == {}
    assert sum(recorded().in_sql.values()) > 400


def test_a_wrong_answer_in_sql_is_a_difference(suite: Suite) -> None:
    """Another expectation, or an error that is none, is found in SQL too."""
    cases = {case.id: copied(case) for case in suite.cases}
    value = cases["integer_math/int64_math/add_positive_positive"]
    value.test.value.int64_value += 1
    error = cases["integer_math/int64_math/divide_zero"]
    error.test.ClearField("result_matcher")
    asked = ask_engines([value, error])
    assert {name: len(item.differences) for name, item in asked.items()} == {
        "duckdb": 2,
        "chdb": 2,
    }


def test_document() -> None:
    """The counts in the documentation are those recorded."""
    assert table(recorded()) in DOCUMENT.read_text()


def test_a_wrong_answer_is_a_difference(suite: Suite) -> None:
    """A test that agrees differs as soon as another answer is expected."""
    agree = [copied(case) for case in suite.cases if case.file == "integer_math"]
    agree = [
        case for case in agree if case.test.WhichOneof("result_matcher") != "eval_error"
    ]
    assert agree
    for case in agree:
        assert difference(case, suite.pool) == ""
        case.test.value.string_value = "another answer"
        assert "not ('string', 'another answer')" in difference(case, suite.pool)


def test_an_answer_where_an_error_is_due_is_a_difference(suite: Suite) -> None:
    """An answer where the suite expects an error does not pass."""
    case = next(copied(c) for c in suite.cases if c.id == "basic/functions/binop")
    case.test.eval_error.errors.add(message="overflow")
    assert "an error was expected" in difference(case, suite.pool)
