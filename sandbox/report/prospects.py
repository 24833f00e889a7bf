"""The operating characteristics of a plan, drawn before it is filed.

Rules of this module:

* One row of two pictures for each goal: how likely each verdict is, and after how many
  units one comes, over the true value.
* Line style and colour both tell the verdict.
* What was drawn and is not exact says so in its title, with its standard error, and
  shows the true values at which it was drawn as points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from sandbox.findings import Outlook
from sandbox.report.drawing import ALARM, CALM, DOUBT, INK, to_file_svg
from sandbox.report.layers import Layer, inline

_VERDICTS = {"met": "met", "not_met": "not met", "inconclusive": "inconclusive"}
_WIDTH, _HEIGHT = 340, 220
_LEGEND = alt.Legend(title=None, orient="top")


def outlook_svg(outlooks: Sequence[Outlook]) -> str:
    """Return a picture of what each goal can be expected to show.

    Args:
        outlooks: At least one, each with chances over many true values.
    """
    rows = [_apart(alt.hconcat(_chances(item), _units(item))) for item in outlooks]
    return to_file_svg(_apart(alt.vconcat(*rows)))


def _apart(charts: Layer) -> Layer:
    """Give each chart its own colours and dashes; they mean different things."""
    return charts.resolve_scale(color="independent", strokeDash="independent")


def _chances(item: Outlook) -> Layer:
    values = [
        {"value": chance.value, "verdict": words, "chance": getattr(chance, name)}
        for chance in item.chances
        for name, words in _VERDICTS.items()
    ]
    order = list(_VERDICTS.values())
    lines = (
        alt.Chart(inline(values))
        .mark_line(strokeWidth=2, point=item.drawn is not None)
        .encode(
            _true_value(item),
            alt.Y(
                "chance:Q",
                title=f"chance at the end of the trial{_kind(item)}",
                axis=alt.Axis(format="%"),
                scale=alt.Scale(domain=[0, 1]),
            ),
            alt.Color(
                "verdict:N",
                scale=alt.Scale(domain=order, range=[CALM, ALARM, DOUBT]),
                legend=_LEGEND,
            ),
            alt.StrokeDash(
                "verdict:N",
                scale=alt.Scale(domain=order, range=[[1, 0], [6, 3], [2, 2]]),
                legend=_LEGEND,
            ),
        )
    )
    layers = alt.layer(lines, _threshold(item))
    return layers.properties(width=_WIDTH, height=_HEIGHT, title=_title(item))


def _units(item: Outlook) -> Layer:
    values: list[dict[str, Any]] = [
        {"value": chance.value, "share": "on average", "units": chance.mean_units}
        for chance in item.chances
    ]
    values += [
        {"value": chance.value, "share": "9 of 10 trials", "units": chance.most_units}
        for chance in item.chances
    ]
    lines = (
        alt.Chart(inline(values))
        .mark_line(strokeWidth=2, color=INK, point=_points(item))
        .encode(
            _true_value(item),
            alt.Y(
                "units:Q",
                title=f"units until a verdict{_kind(item)}",
                scale=alt.Scale(domain=[0, item.units]),
            ),
            alt.StrokeDash("share:N", legend=_LEGEND),
        )
    )
    layers = alt.layer(lines, _threshold(item))
    return layers.properties(width=_WIDTH, height=_HEIGHT)


def _title(item: Outlook) -> alt.TitleParams:
    words = [] if item.drawn is None else [item.drawn.words()]
    if item.control_rate is not None:
        words.append(f"control arm at {item.control_rate * 100:.4g} %")
    title = f"{item.goal}, at most {item.units} units"
    below: dict[str, Any] = {"subtitle": "; ".join(words)} if words else {}
    return alt.TitleParams(title, **below)


def _points(item: Outlook) -> alt.OverlayMarkDef | bool:
    return False if item.drawn is None else alt.OverlayMarkDef(color=INK)


def _kind(item: Outlook) -> str:
    return "" if item.drawn is None else " (drawn)"


def _true_value(item: Outlook) -> alt.X:
    values = [chance.value for chance in item.chances]
    return alt.X(
        "value:Q",
        title=f"true {item.measure}",
        axis=alt.Axis(format="~g" if item.measure == "mean" else "~%"),
        scale=alt.Scale(domain=[min(values), max(values)], nice=False),
    )


def _threshold(item: Outlook) -> Layer:
    data = inline([{"value": item.threshold, "words": "threshold"}])
    base = alt.Chart(data)
    line = base.mark_rule(color=INK, strokeDash=[5, 4]).encode(x="value:Q")
    text = base.mark_text(align="left", dx=4, color=INK)
    low = alt.value(_HEIGHT - 12)
    return alt.layer(line, text.encode(x="value:Q", y=low, text="words:N"))
