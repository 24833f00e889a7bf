"""Critical values, power and stopping times against published tables, to all digits.

Tables 1 to 3: Kulldorff, Davis, Kolczak, Lewis, Lieu and Platt, "A Maximized Sequential
Probability Ratio Test for Drug and Vaccine Safety Surveillance", Sequential Analysis 30
(2011). Values with a least number of events: Kulldorff and Silva, "Continuous
post-market sequential safety surveillance with minimum events to signal", REVSTAT 15
(2017), Table 1, as tabulated in the R package Sequential (`CV.Poisson`).
"""

import pytest

from sandbox.findings.sequential import (
    poisson_maxsprt_threshold,
    poisson_signal_chance,
    signal_stopping,
)

HORIZONS = [
    *(0.1, 0.2, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50),
    *(60, 80, 100, 120, 150, 200, 250, 300, 400, 500, 600, 800, 1000),
]
CRITICAL = {
    0.05: [
        *(2.044069, 2.266893, 2.637928, 2.853937, 2.964971, 3.046977, 3.110419),
        *(3.162106, 3.245004, 3.297183, 3.342729, 3.413782, 3.467952, 3.511749),
        *(3.562591, 3.628123, 3.676320, 3.715764, 3.774663, 3.819903, 3.855755),
        *(3.910853, 3.952321, 3.985577, 4.025338, 4.074828, 4.112234, 4.142134),
        *(4.188031, 4.222632, 4.250310, 4.292829, 4.324917),
    ],
    0.01: [
        *(4.119293, 4.179630, 4.483740, 4.670428, 4.778944, 4.862223, 4.924475),
        *(4.971792, 5.040311, 5.091907, 5.136461, 5.206326, 5.260513, 5.302914),
        *(5.351279, 5.414770, 5.463382, 5.502563, 5.561620, 5.605972, 5.642209),
        *(5.697631, 5.738974, 5.772435, 5.812121, 5.862113, 5.899824, 5.929897),
        *(5.976241, 6.011088, 6.039013, 6.081871, 6.114225),
    ],
    0.001: [
        *(6.579669, 6.754862, 7.034472, 7.172614, 7.278202, 7.341453, 7.397851),
        *(7.445736, 7.518319, 7.569312, 7.608607, 7.673013, 7.724863, 7.767520),
        *(7.814719, 7.877573, 7.924478, 7.962688, 8.022182, 8.067072, 8.102340),
        *(8.157530, 8.199403, 8.232827, 8.272692, 8.322983, 8.360938, 8.391288),
        *(8.438008, 8.473183, 8.501314, 8.544590, 8.577253),
    ],
}
LEAST = [1, 2, 3, 4, 6, 8, 10]
LEAST_EVENTS = {
    1: [2.853937, 2.366638, 1.774218],
    2: [3.046977, 2.689354, 2.349679, 2.000158],
    5: [3.297183, 3.012909, 2.803955, 2.623668, 2.267595, 1.936447],
    10: [3.467952, 3.238009, 3.064248, 2.921561, 2.690586, 2.484834, 2.281441],
    20: [3.628123, 3.430141, 3.288216, 3.176370, 2.997792, 2.846858, 2.717137],
    50: [3.819903, 3.657142, 3.544826, 3.455521, 3.317955, 3.210428, 3.117553],
    100: [3.952321, 3.810141, 3.711993, 3.636508, 3.520081, 3.430065, 3.355794],
    1000: [4.324917, 4.226412, 4.160022, 4.109665, 4.034210, 3.977453, 3.931529],
}
RELATIVE = [1.2, 1.5, 2, 3, 5, 10]
POWER = {
    0.1: [0.060, 0.075, 0.100, 0.148, 0.242, 0.449],
    1: [0.070, 0.107, 0.185, 0.379, 0.729, 0.987],
    5: [0.089, 0.190, 0.447, 0.876, 0.9992, 1],
    10: [0.107, 0.280, 0.685, 0.989, 0.9999998, 1],
    20: [0.138, 0.450, 0.921, 0.99997, 1, 1],
    100: [0.368, 0.978, 1, 1, 1, 1],
    200: [0.623, 0.99990, 1, 1, 1, 1],
}
DIGIT = 6e-7


@pytest.mark.parametrize("alpha", CRITICAL)
@pytest.mark.parametrize("number", range(len(HORIZONS)))
def test_critical_values_of_the_continuous_test(alpha: float, number: int) -> None:
    """All 99 cells of Table 1 are computed to their six decimals."""
    found = poisson_maxsprt_threshold(horizon=HORIZONS[number], alpha=alpha)
    assert found == pytest.approx(CRITICAL[alpha][number], abs=DIGIT)


@pytest.mark.parametrize("horizon", LEAST_EVENTS)
def test_critical_values_with_a_least_number_of_events(horizon: float) -> None:
    """And so are those with 1 to 10 events before a signal."""
    for events, value in zip(LEAST, LEAST_EVENTS[horizon], strict=False):
        found = poisson_maxsprt_threshold(
            horizon=horizon, alpha=0.05, min_events=events
        )
        assert found == pytest.approx(value, abs=DIGIT)


@pytest.mark.parametrize("horizon", POWER)
def test_power_at_a_raised_rate(horizon: float) -> None:
    """The chance of a signal at 1.2 to 10 times the rate, to the digits of Table 2."""
    threshold = poisson_maxsprt_threshold(horizon=horizon, alpha=0.05)
    for relative, power in zip(RELATIVE, POWER[horizon], strict=True):
        found = poisson_signal_chance(
            threshold=threshold, horizon=horizon, relative_rate=relative
        )
        digits = len(f"{power:.7f}".rstrip("0")) - 2
        assert found == pytest.approx(power, abs=0.6 * 10.0 ** -max(digits, 3))


TIMES = {
    1: (
        [0.22, 0.25, 0.30, 0.35, 0.39, 0.37, 0.22],
        [0.96, 0.95, 0.93, 0.88, 0.77, 0.54, 0.23],
    ),
    2: (
        [0.40, 0.51, 0.63, 0.75, 0.79, 0.62, 0.24],
        [1.92, 1.89, 1.82, 1.68, 1.32, 0.72, 0.24],
    ),
    5: (
        [0.96, 1.38, 1.82, 2.09, 1.78, 0.83, 0.26],
        [4.80, 4.68, 4.40, 3.70, 2.18, 0.83, 0.26],
    ),
}
UNIT = 0.0001


@pytest.mark.parametrize("horizon", TIMES)
def test_times_until_a_signal_and_of_the_watch(horizon: float) -> None:
    """Units with a rare event wait as long for a signal as Table 3 says of a process.

    A unit is a ten-thousandth of an expected event, so the last digit may differ.
    """
    threshold = poisson_maxsprt_threshold(horizon=horizon, alpha=0.05)
    until, watched = TIMES[horizon]
    for relative, signal, length in zip([1, *RELATIVE], until, watched, strict=True):
        found = signal_stopping(
            threshold=threshold,
            baseline_rate=UNIT,
            units=round(horizon / UNIT),
            rate=UNIT * relative,
        )
        mean = float(found.sizes @ found.high / found.high.sum()) * UNIT
        assert mean == pytest.approx(signal, abs=0.015)
        assert found.mean() * UNIT == pytest.approx(length, abs=0.015)
