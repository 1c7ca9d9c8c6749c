"""How numbers and names are written."""

from unrolled.bench.phrases import make_visible
from unrolled.reports.formats import (
    format_count,
    format_interval,
    format_number,
    format_p,
    join_first_names,
    shorten_name,
)
from unrolled.reports.statistics.seed_values import Interval


def test_an_invisible_character_becomes_a_visible_one():
    assert make_visible("a\0b\x1b\u202e\ud800\u0085\nc") == "a␀b␛\ufffd\ufffd\ufffd c"


def test_long_names_that_differ_at_either_end_differ_when_they_are_cut():
    names = [f"{cell}, with a residual connection, {layers}" for cell in ("gru", "lstm") for layers in "124"]
    cut_names = {shorten_name(name, 20) for name in names}
    assert len(cut_names) == len(names)
    assert {len(name) for name in cut_names} <= {19, 20}


def test_numbers_carry_a_true_minus_and_never_a_negative_zero():
    assert [format_number(-0.045, sign=True), format_number(0.00001, sign=True), format_number(-0.00001)] == [
        "−0.0450",
        "0.0000",
        "0.0000",
    ]
    assert [format_number(None), format_number(float("nan")), format_number(float("inf"))] == ["–", "–", "∞"]
    assert [format_number(-5e29, 2), format_number(1e15, sign=True)] == ["−5e+29", "+1e+15"]
    assert format_interval(Interval(-1, 2, 0.95), 1) == "[−1.0, 2.0]"
    assert [format_p(p) for p in (0.0001, 0.0123, 0.99999, None)] == ["<.001", ".012", "1", "–"]
    assert format_count(37598) == "37\u202f598"


def test_a_name_with_a_comma_is_one_name_of_a_list():
    names = ["base", "base, lr 0.2", "head"]
    assert join_first_names(names, 5) == "base, “base, lr 0.2”, head"
