"""Dividers of PLLs: every setting obeys the family's published limits, and none comes closer."""

from fractions import Fraction
from itertools import product

import pytest

from hw.pll import MHZ, Pll, PllError, find_setting
from hw.vendor import DEVICES

WANTED = (4_000_000, 16 * MHZ, 16_200_001, 24 * MHZ, 33_333_333, 50 * MHZ, 75 * MHZ, 99_999_999, 133 * MHZ, 275 * MHZ)

#: Lowest and highest Hz, as the vendors' documents have them; written down apart from the module under test.
RANGES = {
    "ecp5": {"comparison": (10e6, 400e6), "oscillator": (400e6, 800e6), "output": (3.125e6, 400e6)},
    "ice40": {"comparison": (10e6, 133e6), "oscillator": (533e6, 1066e6), "output": (16e6, 275e6)},
    "gowin": {"comparison": (3e6, 500e6), "oscillator": (500e6, 1250e6), "output": (3.90625e6, 625e6)},
}
DIVIDERS = {
    "ecp5": (range(1, 129), range(1, 81), range(1, 129)),
    "ice40": (range(1, 17), range(1, 129), [2**n for n in range(1, 7)]),
    "gowin": (range(1, 65), range(1, 65), [2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128]),
}
CASES = [("ecp5", 25 * MHZ), ("ecp5", 48 * MHZ), ("ice40", 12 * MHZ), ("ice40", 48 * MHZ), ("gowin", 27 * MHZ)]


def within(value, limits):
    low, high = limits
    return low <= value <= high


@pytest.mark.parametrize(("family", "oscillator"), CASES)
def test_settings_obey_the_limits(family, oscillator):
    low, high = map(int, RANGES[family]["output"])
    for wanted in [*WANTED, *range(2 * low, high + 1, (high - low) // 29)]:
        if not within(wanted, (2 * low, high)):
            continue
        setting = find_setting(family, oscillator, wanted)
        assert (setting.family, setting.input) == (family, oscillator)
        for value, allowed in zip(
            (setting.reference, setting.feedback, setting.divider), DIVIDERS[family], strict=True
        ):
            assert value in allowed
        for name, limits in RANGES[family].items():
            assert within(getattr(setting, name), limits), name
        assert setting.output <= wanted
        assert setting.comparison * setting.reference == oscillator
        assert setting.oscillator == setting.output * setting.divider


@pytest.mark.parametrize(("family", "oscillator"), [("ecp5", 25 * MHZ), ("ice40", 12 * MHZ), ("gowin", 27 * MHZ)])
def test_nothing_comes_closer(family, oscillator):
    references, feedbacks, dividers = DIVIDERS[family]
    limits = RANGES[family]
    reachable = set()
    for reference in references:
        comparison = Fraction(oscillator, reference)
        if within(comparison, limits["comparison"]):
            for feedback, divider in product(feedbacks, dividers):
                output = comparison * feedback / (1 if family == "gowin" else divider)
                if within(output * divider, limits["oscillator"]) and within(output, limits["output"]):
                    reachable.add(output)
    for wanted in (*WANTED, *map(int, limits["output"])):
        if not within(wanted, limits["output"]):
            continue
        if below := [output for output in reachable if output <= wanted]:
            assert find_setting(family, oscillator, wanted).output == max(below)
        else:
            with pytest.raises(PllError, match="no clock of at most"):
                find_setting(family, oscillator, wanted)


@pytest.mark.parametrize(
    ("family", "oscillator", "wanted", "dividers"),
    [
        ("ecp5", 25 * MHZ, 100 * MHZ, (1, 32, 8)),
        ("ecp5", 48 * MHZ, 75 * MHZ, (2, 25, 8)),
        ("ice40", 12 * MHZ, 24 * MHZ, (1, 64, 32)),
        ("gowin", 27 * MHZ, 54 * MHZ, (1, 2, 16)),
    ],
)
def test_exact_ones_compare_as_fast_as_they_can(family, oscillator, wanted, dividers):
    setting = find_setting(family, oscillator, wanted)
    assert setting.output == wanted
    assert (setting.reference, setting.feedback, setting.divider) == dividers


@pytest.mark.parametrize(
    ("family", "oscillator", "wanted", "message"),
    [
        ("ecp5", 25 * MHZ, 3 * MHZ, "a clock of 3 MHz is outside what this device's PLL allows, 3.125 to 400 MHz"),
        ("ecp5", 25 * MHZ, 401 * MHZ, "a clock of 401 MHz is outside what this device's PLL allows, 3.125 to 400 MHz"),
        ("ice40", 12 * MHZ, 15 * MHZ, "a clock of 15 MHz is outside what this device's PLL allows, 16 to 275 MHz"),
        ("ice40", 9 * MHZ, 24 * MHZ, "an input of 9 MHz is outside what this device's PLL allows, 10 to 133 MHz"),
        (
            "gowin",
            27 * MHZ,
            626 * MHZ,
            "a clock of 626 MHz is outside what this device's PLL allows, 3.90625 to 625 MHz",
        ),
        ("ice40", 133 * MHZ, 16 * MHZ, "no clock of at most 16 MHz can be made from 133 MHz"),
    ],
)
def test_unreachable(family, oscillator, wanted, message):
    with pytest.raises(PllError) as caught:
        find_setting(family, oscillator, wanted)
    assert str(caught.value) == message


def test_setting_for_another_family():
    pll = Pll(find_setting("ice40", 12 * MHZ, 24 * MHZ), None)
    with pytest.raises(ValueError, match="setting is for ice40; the platform is not"):
        pll.elaborate(DEVICES["lfe5u-85f"])
