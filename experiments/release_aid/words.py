"""The results of the replay, put in words and tables."""

from __future__ import annotations

import math

from experiments.replays.results import Results, page, table


def summary(found: Results) -> str:
    """Return the results as Markdown."""
    figures = found["figures"]
    sections = [
        (
            "The two arms in the order of the rows",
            _looks_in_words(figures) + "\n\n" + _look_table(figures),
        ),
        (
            "The two arms week after week",
            _weeks_in_words(figures) + "\n\n" + _week_table(figures),
        ),
        ("How often a difference is claimed", _chance_table(figures)),
        ("What other blocks would have given", _block_table(figures)),
    ]
    package = "experiments.release_aid"
    return page("money for released prisoners", package, found, sections)


def _looks_in_words(figures: Results) -> str:
    enough = figures["enough"]
    first = [look for look in figures["looks"] if look["first"]]
    shown = [
        look
        for look in figures["looks"]
        if look["units_per_arm"] % figures["looking"]["looks_every"] == 0
    ]
    claimed = sum(look["fixed_p"] <= figures["alpha"] for look in shown)
    if first:
        said = (
            f"The e-process reaches {math.exp(enough):.0f} with pair"
            f" {first[0]['units_per_arm']}; a trial that stops there says *met*."
        )
    else:
        said = f"The e-process never reaches {math.exp(enough):.0f}."
    return (
        f"{said} At the last pair it is {math.exp(shown[-1]['log_e_value']):.2f}. An"
        f" ordinary test at each of the {len(shown)} looks claims a difference at"
        f" {claimed} of them; at the end its p-value is {shown[-1]['fixed_p']:.4f}"
        f" (Fisher's exact test: {shown[-1]['fisher_p']:.4f})."
    )


def _weeks_in_words(figures: Results) -> str:
    weeks, alpha = figures["weeks"], figures["alpha"]
    claimed = [str(look["week"]) for look in weeks if look["log_rank_p"] <= alpha]
    reached = "reaches" if figures["ever_in_a_week"] else "never reaches"
    return (
        f"The e-process {reached} {math.exp(figures['enough']):.0f} in any week. A"
        f" log-rank test at each of the {len(weeks)} looks claims a difference at"
        f" {len(claimed)} of them (weeks {', '.join(claimed)}); at the end its p-value"
        f" is {weeks[-1]['log_rank_p']:.4f}."
    )


def _look_table(figures: Results) -> str:
    header = (
        "persons per arm",
        "arrested with aid",
        "without",
        "e-value",
        "ordinary p",
        "Fisher p",
        "upper limit with aid",
    )
    return table(
        header,
        (
            (
                f"{look['units_per_arm']}{' (stop)' if look['first'] else ''}",
                str(look["events_a"]),
                str(look["events_b"]),
                f"{math.exp(look['log_e_value']):.2f}",
                f"{look['fixed_p']:.4f}",
                f"{look['fisher_p']:.4f}",
                f"{look['upper_limit_a']:.1%}",
            )
            for look in figures["looks"]
        ),
    )


def _week_table(figures: Results) -> str:
    header = ("week", "arrested with aid", "without", "e-value", "log-rank p")
    return table(
        header,
        (
            (
                str(look["week"]),
                str(look["events_a"]),
                str(look["events_b"]),
                f"{math.exp(look['log_e_value']):.2f}",
                f"{look['log_rank_p']:.4f}",
            )
            for look in figures["weeks"]
        ),
    )


def _chance_table(figures: Results) -> str:
    words = {
        "no_effect": "if the aid did nothing",
        "other_orders": "in other orders of the same rows",
        "effect_as_seen": "if the rates were those seen",
    }
    rows = [
        (
            words[name],
            f"{claims['e_process']:.1%}",
            f"{claims['fixed_at_some_look']:.1%}",
            f"{claims['fixed_at_the_end']:.1%}",
        )
        for name, claims in figures["chances"].items()
    ]
    weeks = figures["week_chances"]
    rows.append(
        (
            "week after week (log-rank), if the aid did nothing",
            "",
            f"{weeks['log_rank_at_some_look']:.1%}",
            f"{weeks['log_rank_at_the_end']:.1%}",
        )
    )
    return table(
        ("", "e-process, ever", "ordinary test, at some look", "at the end only"), rows
    )


def _block_table(figures: Results) -> str:
    return table(
        ("persons per arm in a block", "largest e-value", "last e-value", "stops at"),
        (
            (
                str(item["block"]),
                f"{math.exp(item['largest_log_e_value']):.2f}",
                f"{math.exp(item['last_log_e_value']):.2f}",
                str(item["first_at"] or "never"),
            )
            for item in figures["block_sizes"]
        ),
    )
