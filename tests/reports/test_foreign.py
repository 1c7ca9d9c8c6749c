"""Verdicts on tables that this project did not make."""

import pandas as pd
import pytest

from bench.trial import BadInput
from reports.foreign import tables
from reports.foreign.judgement import Design, Foreign, Measure, compare, direction
from reports.statistics.verdicts import Word

HOURS = Measure("extra", 1.0, lower_is_better=False)
SLEEP = pd.DataFrame(
    # R's data set `sleep` (Student 1908): extra hours of sleep under two drugs, ten patients
    {
        "group": ["1"] * 10 + ["2"] * 10,
        "ID": [*range(1, 11)] * 2,
        "extra": [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0,
                  1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
    }
)  # fmt: skip


def sleep(pair: str, frame: pd.DataFrame = SLEEP) -> Foreign:
    return compare(frame, Design(("group",), pair, (HOURS,)), "sleep")


def second(found: Foreign):
    return found.arms["extra"][1].verdict.contrast


def test_pairs_give_the_numbers_that_rs_documentation_prints() -> None:
    c = second(sleep("ID"))  # ?t.test: t = -4.0621, df = 9, p-value = 0.002833, of 1 minus 2
    assert (round(c.t, 4), round(c.t_p, 6), round(c.mean, 2)) == (4.0621, 0.002833, 1.58)
    assert (round(c.interval.low, 7), round(c.interval.high, 7)) == (0.7001142, 2.4598858)


def test_without_pairs_they_are_welchs_of_rs_documentation_and_every_line_says_so() -> None:
    found = sleep("")  # t = -1.8608, df = 17.776, p-value = 0.07939
    c = second(found)
    assert (round(c.t, 4), round(c.t_p, 5)) == (1.8608, 0.07939)
    assert (round(c.interval.low, 7), round(c.interval.high, 7)) == (-0.2054832, 3.3654832)
    lines = [line for line in tables.screen(found).splitlines() if line.startswith(("2 ", "p is"))]
    assert len(lines) == 2 and all("unpaired" in line.lower() for line in lines)


@pytest.mark.parametrize(
    ("unit", "shown"), [(1, "+1.58 [+0.70, +2.46]"), (1e-6, "+0.00000158 [+0.00000070, "), (1e3, "+1580 [")]
)
def test_numbers_have_two_digits_beyond_their_delta(unit: float, shown: str) -> None:
    scaled = SLEEP.assign(extra=SLEEP.extra * unit)
    found = compare(scaled, Design(("group",), "ID", (Measure("extra", unit, False),)), "sleep")
    assert shown in tables.screen(found)


def test_the_order_of_the_rows_changes_nothing_but_the_baseline() -> None:
    turned = compare(SLEEP[::-1], Design(("group",), "ID", (HOURS,), baseline="1"), "sleep")
    assert tables.csv(turned) == tables.csv(sleep("ID"))


def test_rows_without_a_partner_are_listed_by_their_own_names_and_not_compared() -> None:
    lacking = SLEEP.drop(index=[2, 15])
    found = sleep("ID", lacking)
    assert found.alone == {"2": ("3", "6")} and second(found).pairs == 8
    assert "2: 2 rows without a partner: ID 3, 6" in tables.screen(found)


def test_an_infinite_value_counts_as_the_worst_and_decides_nothing_by_a_mean() -> None:
    diverged = SLEEP.replace({"extra": {5.5: float("inf")}})
    assert second(sleep("ID", diverged)).given_convergence
    unpaired = sleep("", diverged).arms["extra"][1].verdict
    assert unpaired.word is Word.INCONCLUSIVE


def test_several_columns_name_an_arm_and_an_arm_that_is_worse_is_told() -> None:
    frame = pd.DataFrame(
        [{"model": m, "lr": lr, "seed": s, "loss": s % 3 + lr * 10 + (m == "b") + s / 100 * lr}
         for m in "ab" for lr in (0.1, 0.2) for s in range(12)]
    )  # fmt: skip
    loss = Measure("loss", 0.1, lower_is_better=True)
    found = compare(frame, Design(("model", "lr"), "seed", (loss,)), "x")
    assert [arm.name for arm in found.arms["loss"]] == ["a / 0.1", "a / 0.2", "b / 0.1", "b / 0.2"]
    assert found.worse == ["a / 0.2", "b / 0.1", "b / 0.2"]


@pytest.mark.parametrize(
    ("frame", "design", "said"),
    [
        (SLEEP, Design(("drug",), "ID", (HOURS,)), "sleep: has no column 'drug'; it has: group, ID, extra"),
        (SLEEP, Design(("group",), "id", (HOURS,)), "sleep: has no column 'id'; it has"),
        (SLEEP[:10], Design(("group",), "ID", (HOURS,)), "has one arm, '1'; name with --arm the columns"),
        (SLEEP[:0], Design(("group",), "ID", (HOURS,)), "has no rows"),
        (SLEEP, Design(("group",), "ID", (HOURS,), "3"), "has no arm '3'; it has: 1, 2"),
        (
            pd.concat([SLEEP, SLEEP[4:5]]),
            Design(("group",), "ID", (HOURS,)),
            "row 21 is another one of arm '1' and ID 5; add the column in which they differ to --arm",
        ),
        (
            SLEEP.assign(extra="high"),
            Design(("group",), "ID", (HOURS,)),
            "extra: row 1: 'high' is not a number",
        ),
        (
            SLEEP.replace({"extra": {3.7: -1e308}}),
            Design(("group",), "ID", (HOURS,)),
            "extra: row 7: -1e+308 is beyond ±1e+150, where squares overflow; write inf",
        ),
        (
            SLEEP.assign(group="x" * 201),
            Design(("group",), "ID", (HOURS,)),
            "the name of an arm has 201 characters, of which 200 are shown; name another column",
        ),
        (SLEEP.replace({"extra": {3.7: None}}), Design(("group",), "", (HOURS,)), "extra: row 7: is empty"),
        (SLEEP.replace({"ID": {4: None}}), Design(("group",), "ID", (HOURS,)), "row 4 has no ID; fill it in"),
    ],
)
def test_a_table_that_cannot_be_judged_is_refused_in_a_line(
    frame: pd.DataFrame, design: Design, said: str
) -> None:
    with pytest.raises(BadInput) as refused:
        compare(frame, design, "sleep")
    assert said in str(refused.value) and refused.value.place == "sleep"


@pytest.mark.parametrize(
    ("metric", "lower"),
    [("val_loss", True), ("training_accuracy_score", False), ("test/F1", False), ("seconds", True)],
)
def test_a_direction_follows_from_the_name_unless_it_is_given(metric: str, lower: bool) -> None:
    assert direction(metric, [], []) is lower
    assert direction(metric, [metric] if not lower else [], [metric] if lower else []) is not lower


@pytest.mark.parametrize("metric", ["extra", "loss_score"])
def test_a_direction_that_no_name_tells_is_asked_for(metric: str) -> None:
    with pytest.raises(BadInput) as refused:
        direction(metric, [], [])
    assert refused.value.cure == f"add --lower {metric} or --higher {metric}"
