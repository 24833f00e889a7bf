"""The results of the replay, put in words and tables."""

from __future__ import annotations

from experiments.replays.results import Results, page, table


def summary(found: Results) -> str:
    """Return the results as Markdown."""
    figures = found["figures"]
    sections = [
        ("", _decided_in_words(figures)),
        (
            "Approvals of applicants under 26, and of others",
            _disparity_in_words(figures) + "\n\n" + _look_table(figures),
        ),
        ("How far the evidence reaches for another share", _support_table(figures)),
        ("Reasons told", _reason_table(figures)),
    ]
    package = "experiments.credit_explanations"
    return page("credit decisions with reasons", package, found, sections)


def _decided_in_words(figures: Results) -> str:
    decisions = figures["decisions"]
    rows = ", ".join(str(item["row"]) for item in figures["not_scored"])
    return (
        f"Trained on the first {figures['training_rows']} rows, the model approved"
        f" {decisions['approved']} of the others and refused {decisions['refused']}. It"
        f" could not score {decisions.get('none', 0)} (rows {rows}, counted from 0):"
        f" {figures['not_scored'][0]['reason']}."
    )


def _disparity_in_words(figures: Results) -> str:
    seen, question = figures["looks"], figures["disparity"]
    below = sum(look["ratio"] < question["least_ratio"] for look in seen)
    claimed = sum(look["fixed_p"] <= question["alpha"] for look in seen)
    last, sure = seen[-1], 1 - question["alpha"]
    said = last["verdict"].replace("_", " ").capitalize()
    return (
        f"{said}: the ratio seen at the end is {last['ratio']:.3f}, and lies between"
        f" {last['lower']:.3f} and {last['upper']:.3f} with {sure:.0%} confidence"
        f" whenever one looks; the least allowed is {question['least_ratio']}. As seen,"
        f" it is below that at {below} of {len(seen)} looks; an ordinary test claims a"
        f" difference between the groups at {claimed}."
    )


def _look_table(figures: Results) -> str:
    header = (
        "applications",
        "under 26 approved",
        "26 and over approved",
        "ratio",
        "from",
        "to",
        "ordinary p",
    )
    return table(
        header,
        (
            (
                str(look["applications"]),
                _share(look["a"]),
                _share(look["b"]),
                f"{look['ratio']:.3f}",
                f"{look['lower']:.3f}",
                f"{look['upper']:.3f}" if look["upper"] is not None else "-",
                f"{look['fixed_p']:.4f}",
            )
            for look in figures["looks"]
        ),
    )


def _share(counts: dict[str, int]) -> str:
    return f"{counts['satisfied']} of {sum(counts.values())}"


def _support_table(figures: Results) -> str:
    return table(
        ("min_share", "label", "why"),
        (
            (f"{item['value']:g}", item["label"], item["reason"])
            for item in figures["support"]
        ),
    )


def _reason_table(figures: Results) -> str:
    return table(
        ("field", "refusals"),
        ((name, str(count)) for name, count in figures["reasons"].items()),
    )
