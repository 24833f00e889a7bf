"""The one place that speaks to the CEL engine (Common Expression Language, cel.dev).

Rules of this module:

* An expression sees two maps: `span` or `object`, and `params`. It is compiled and
  type-checked once, and must give true or false.
* The engine returns an error as a value whose text is truthy; the type is tested before
  the value is looked at, always. What is an error is neither true nor false.
* A missing field is an error, which `&&` and `||` absorb only where the other side
  decides alone (CEL specification, logical operators).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from cel_expr_python import cel

from sandbox.errors import RuleError
from sandbox.model.rule import About
from sandbox.rules.mentions import Path, mentions
from sandbox.rules.reads import ALL, Reads
from sandbox.rules.syntax import read_tree

_MAP = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
_ENGINES = {
    about: cel.NewEnv(variables={about: _MAP, "params": _MAP})
    for about in ("span", "object")
}
_PROBLEM = re.compile(r"ERROR: <input>:(\d+):(\d+): (.+)")
_MISSING = re.compile(r'Key not found in map : "(.*)"')


class Truth(NamedTuple):
    """What an expression gives: true, false, or neither with the reason."""

    value: bool | None
    reason: str = ""


_HOLDS, _FAILS = Truth(True), Truth(False)


class Flaw(NamedTuple):
    """Why an expression cannot be used, and where."""

    what: str
    remedy: str
    offset: int | None = None
    """Character of the expression, from 0; None where it is the whole."""


class Facts:
    """One span or object and the parameters in force, ready for many expressions.

    Args:
        seen: What was seen.
        params: Values in force.
        about: What it is.
        reads: What the expressions that will be asked can read of a span.
        once: Whether one expression will be asked, as a rule: then nothing is prepared
            for a second one, which costs more than it saves.
    """

    __slots__ = ("_activation", "_given", "about", "once", "params", "reads", "seen")

    def __init__(
        self,
        seen: Mapping[str, Any],
        params: Mapping[str, float],
        about: About = "span",
        *,
        reads: Reads = ALL,
        once: bool = False,
    ) -> None:
        self.about = about
        self.seen = seen
        self.params = params
        self.reads = reads
        self.once = once
        given = reads.chosen(seen) if about == "span" else seen
        self._given = {about: given, "params": params}
        self._activation = None if once else _ENGINES[about].Activation(self._given)

    def with_params(self, params: Mapping[str, float]) -> Facts:
        """Return the same with other parameters."""
        return Facts(self.seen, params, self.about, reads=self.reads, once=self.once)

    def asked_by(self, program: Any) -> Any:
        """Return what a compiled expression gives for these facts.

        Raises:
            RuntimeError: The engine cannot read what is given.
        """
        if self._activation is None:
            return program.eval(data=self._given)
        return program.eval(activation=self._activation)


class Expression:
    """A compiled expression.

    Args:
        text: CEL over `span` or `object`, and `params`.
        about: Which of the two.

    Raises:
        RuleError: It does not compile or cannot give true or false; says where.
    """

    __slots__ = ("_program", "mentions", "text", "tree")

    def __init__(self, text: str, about: About = "span") -> None:
        self.text = text
        self._program = _compiled(text, about)
        self.tree = read_tree(self._program.serialize())
        self.mentions: tuple[Path, ...] = mentions(text)

    def evaluate(self, facts: Facts) -> Truth:
        """Return what the expression says of one span."""
        try:
            result = facts.asked_by(self._program)
            value = result.value()
        except RuntimeError as error:
            return Truth(None, f"the engine cannot read what is given: {error}")
        # An error is text: nothing but a truth value is one of the two.
        if value is True or value is False:
            return _HOLDS if value else _FAILS
        kind = result.type()
        if kind == cel.Type.ERROR:
            return Truth(None, _explained(str(value)))
        return Truth(None, f"it gives {kind.name()}, neither true nor false")


class Verdict:
    """Whether a rule applies and what it requires, asked of the engine at once.

    Args:
        applies: Does it fall under the rule?
        requires: What must then hold.
        about: What both are about.
    """

    __slots__ = ("_program",)

    def __init__(
        self, applies: Expression, requires: Expression, about: About = "span"
    ) -> None:
        # A line break ends a comment in which an expression may end.
        required = f"(({requires.text}\n) ? 1 : 2)"
        try:
            self._program = _ENGINES[about].compile(
                f"({applies.text}\n) ? {required} : 0"
            )
        except RuntimeError:
            # Together they are nested too deeply, or too long.
            self._program = None

    def evaluate(self, facts: Facts) -> int | None:
        """Return 0 where the rule does not apply, 1 where what it requires holds, 2
        where it does not, and None where each has to be asked by itself to know.
        """
        if self._program is None:
            return None
        try:
            value = facts.asked_by(self._program).value()
        except RuntimeError:
            return None
        return value if type(value) is int else None


def is_pattern(text: str) -> bool:
    """Return whether a text is a regular expression to the engine (RE2)."""
    truth = _MATCHES.evaluate(Facts({"name": "", "pattern": text}, {}))
    return truth.value is not None


def problem_of(text: str, about: About = "span") -> Flaw | None:
    """Return why an expression does not compile, or None where it does."""
    compiled = _attempt(text, about)
    return compiled if isinstance(compiled, Flaw) else None


def _compiled(text: str, about: About) -> Any:
    compiled = _attempt(text, about)
    if isinstance(compiled, Flaw):
        raise RuleError(compiled.what)
    return compiled


def _attempt(text: str, about: About) -> Any:
    """Return the program of an expression, or the `Flaw` it has."""
    try:
        program = _ENGINES[about].compile(text)
    except RuntimeError as error:
        return _located(str(error), text)
    if program.return_type() not in (cel.Type.BOOL, cel.Type.DYN):
        kind = program.return_type().name()
        return Flaw(f"`{text}` gives {kind}", "Write a comparison: true or false")
    return program


def _located(message: str, text: str) -> Flaw:
    remedy = "Correct the expression (CEL, cel.dev)"
    found = _PROBLEM.findall(message)
    if not found:
        what = f"`{text}` does not compile: {message.partition(' [')[0]}"
        return Flaw(what, remedy)
    places = [
        f"line {line}, character {column}: {_short(what)}"
        for line, column, what in found
    ]
    line, column, _ = found[0]
    before = text.split("\n")[: int(line) - 1]
    offset = sum(len(item) + 1 for item in before) + int(column) - 1
    return Flaw(f"`{text}` does not compile; {'; '.join(places)}", remedy, offset)


def _short(what: str) -> str:
    """Return the engine's words without the list of all that it could have read."""
    return what.partition(" [")[0].partition(" expecting {")[0].strip()


def _explained(message: str) -> str:
    missing = _MISSING.search(message)
    if missing:
        return f"`{missing.group(1)}` is missing"
    return message.partition(": ")[2] or message


_MATCHES = Expression("span.name.matches(span.pattern)")
