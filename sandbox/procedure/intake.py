"""Is an application complete? Every defect at once, each with what would make it right.

Rules of this module:

* Nothing is decided here: a complete application is admitted to review, an incomplete
  one is returned with all its defects.
* What the schema refuses and what the procedure misses are reported together where
  the document can still be understood.
* Codes of defects are stable names; words may change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from sandbox.errors import InputError
from sandbox.model.application import Application, Defect
from sandbox.model.document import examine, placed
from sandbox.model.record import digest_of
from sandbox.model.regime import Regime
from sandbox.model.rule import Rulebook
from sandbox.model.trial import WARM_PREFIX
from sandbox.procedure.clock import exceeds, is_positive
from sandbox.procedure.collision import check_collisions, unknown_name
from sandbox.procedure.plausible import check_plan, check_system

_SOME_DIGEST = digest_of(b"")
"""Stands in for an unpinned image, so that the rest of the document can be checked."""


def check_application(
    application: Application, *, regime: Regime, rulebook: Rulebook, file: str = ""
) -> tuple[Defect, ...]:
    """Return every defect of an application; none means it is complete.

    Args:
        application: As filed.
        regime: The scheme it is filed under.
        rulebook: The rules it may collide with.
        file: Name of the document, for the places of defects.
    """
    found = [
        *_check_addressees(application, regime, rulebook),
        *check_collisions(application, rulebook),
        *check_plan(application, rulebook),
        *_check_period(application, regime),
        *check_system(application),
        *_check_papers(application),
        *_check_blanks(application, ""),
    ]
    required = _check_required(application, regime, {item.field for item in found})
    return tuple(item.model_copy(update={"file": file}) for item in (*found, *required))


Check = Callable[[Application, Rulebook], tuple[Defect, ...]]
"""What else may be wrong with an application, asked of a later room."""


def _nothing_else(_: Application, __: Rulebook) -> tuple[Defect, ...]:
    return ()


def read_application(
    text: str,
    *,
    regime: Regime,
    rulebook: Rulebook,
    file: str,
    also: Check = _nothing_else,
) -> Application:
    """Return a complete application from its document.

    Args:
        text: The YAML document.
        regime: The scheme it is filed under.
        rulebook: The rules it may collide with.
        file: Name of the document.
        also: A further check, reported together with everything else.

    Raises:
        InputError: It cannot be read or is not complete; carries every `Defect`.
    """
    reading = examine(text, Application, file=file, prefix="application")
    schema = tuple(_as_image_defect(item) for item in reading.defects)
    application = reading.record or _understood(reading.data, schema)
    found: tuple[Defect, ...] = ()
    if application is not None:
        found = (
            *check_application(
                application, regime=regime, rulebook=rulebook, file=file
            ),
            *also(application, rulebook),
        )
    defects = placed((*schema, *found), reading.places, file=file)
    if defects or application is None:
        raise InputError(defects)
    return application


def _as_image_defect(defect: Defect) -> Defect:
    if defect.code != "application/not-a-digest" or "images" not in defect.field:
        return defect
    name = defect.field.rpartition(".")[2]
    return defect.model_copy(
        update={
            "code": "application/image-not-pinned",
            "what": f"the image `{name}` is not pinned by digest",
            "remedy": f"Write `{name}: sha256:…`, the digest of the image you tested",
        }
    )


def _understood(data: Any, schema: tuple[Defect, ...]) -> Application | None:
    """Return the application without its unknown keys and unpinned images, if that
    is all the schema refused.
    """
    for defect in schema:
        *path, name = defect.field.split(".")
        holder = _holder(data, path)
        if not isinstance(holder, dict) or name not in holder:
            return None
        if defect.code == "application/image-not-pinned":
            holder[name] = _SOME_DIGEST
        elif defect.code == "application/unknown-key":
            del holder[name]
        elif defect.code != "application/duplicate-key":
            return None
    return _read_data(data)


def _read_data(data: Any) -> Application | None:
    try:
        return Application.model_validate(data)
    except ValidationError:
        return None


def _holder(data: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(data, list) and part.isdigit() and int(part) < len(data):
            data = data[int(part)]
        elif isinstance(data, dict):
            data = data.get(part)
        else:
            return None
    return data


def _check_addressees(
    application: Application, regime: Regime, rulebook: Rulebook
) -> Iterator[Defect]:
    for field, given in (("regime", regime.regime), ("rulebook", rulebook.rulebook)):
        name = getattr(application, field)
        if name != given:
            yield unknown_name(
                name,
                [given],
                code=f"application/unknown-{field}",
                field=field,
                noun=field,
            )


def _check_period(application: Application, regime: Regime) -> Iterator[Defect]:
    period = application.period
    for name in ("length", "must_start_within"):
        if not is_positive(getattr(period, name)):
            yield _defect(
                "no-time",
                f"`{name}` has no length",
                "Write a period such as PT10M or P3M",
                f"period.{name}",
            )
    if exceeds(period.length, regime.longest_trial):
        yield Defect(
            code="application/period-too-long",
            what=f"the trial would last {period.length}; "
            f"{regime.name} allows {regime.longest_trial} at most",
            remedy=f"Ask for {regime.longest_trial} or less",
            field="period.length",
            source=regime.law[0] if regime.law else "",
        )


def _check_papers(application: Application) -> Iterator[Defect]:
    if application.application.startswith(WARM_PREFIX):
        yield _defect(
            "name-reserved",
            "names that begin with `warm-` are those of environments without a trial",
            "Choose another name",
            "application",
        )
    if application.exit is None:
        yield _defect(
            "exit-plan-missing",
            "there is no exit plan: what happens after the trial is open",
            "Add `exit` with `after_success`, `after_failure` and `for_customers`",
            "exit",
        )
    if not application.safeguards:
        yield _defect(
            "safeguards-missing",
            "no risk is named with the measure against it",
            "Add at least one safeguard with `risk` and `measure`",
            "safeguards",
        )
    fields = {item.alias or key for key, item in Application.model_fields.items()}
    for number, name in enumerate(application.confidential):
        if name not in fields:
            yield unknown_name(
                name,
                fields,
                code="application/confidential-unknown",
                field=f"confidential.{number}",
                noun="field",
            )


def _check_blanks(value: object, field: str) -> Iterator[Defect]:
    if isinstance(value, str) and not value.strip():
        yield _defect(
            "blank", "the text is empty", "Say it in words, or take it out", field
        )
    elif isinstance(value, BaseModel):
        for key, info in type(value).model_fields.items():
            name = info.alias or key
            yield from _check_blanks(
                getattr(value, key), f"{field}.{name}" if field else name
            )
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _check_blanks(item, f"{field}.{number}")


def _check_required(
    application: Application, regime: Regime, known: set[str]
) -> Iterator[Defect]:
    data = application.model_dump(mode="json", by_alias=True)
    for field in regime.requires:
        if field not in known and _holder(data, field.split(".")) in ("", None, [], {}):
            yield Defect(
                code="application/required-by-regime",
                what=f"{regime.name} asks for `{field}`, which is empty",
                remedy=f"Fill in `{field}`",
                field=field,
                source=regime.law[0] if regime.law else "",
            )


def _defect(check: str, what: str, remedy: str, field: str) -> Defect:
    return Defect(code=f"application/{check}", what=what, remedy=remedy, field=field)
