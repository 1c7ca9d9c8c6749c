"""The answer where arms are compared on two tasks: which pairs keep their order, and the levels on each."""

from dataclasses import replace
from statistics import fmean

import pytest

from tests.helpers.arms import make_arm
from tests.helpers.designs import design_arms
from tests.helpers.pages import write_texts
from unrolled.reports.compare.design import DesignArm


def split_arms(name: str, effects: tuple[float, ...]) -> list[DesignArm]:
    """Return arms on this split of the text, called by its first letter and their number."""
    clips = [{"clip": float(i), "split": name} for i in range(len(effects))]
    return [make_arm(f"{name[0]}{i}", effect, settings=clips[i]) for i, effect in enumerate(effects)]


TAIL = split_arms("tail", (0.0, 0.2, 0.4, 0.4))


BLOCKS = [replace(arm, against="b0") for arm in split_arms("blocks", (-0.9, -0.5, -0.7, -0.7))]


def test_pairs_of_arms_keep_their_order_on_two_tasks_or_change_places():
    order, changed, unsure, *_ = write_texts(design_arms((*TAIL, *BLOCKS)))
    assert order.startswith("3 of 6 pairs")
    assert changed.startswith("t1 and t2; t1 and t3 change")
    assert unsure.endswith(" for t2 and t3")


def test_each_of_two_tasks_has_the_levels_of_its_arms():
    *_, tail_levels, block_levels = write_texts(design_arms((*TAIL, *BLOCKS)))
    best = fmean(r.metrics["valid_loss"] for r in BLOCKS[0].results.values())
    assert tail_levels.startswith("On split tail t0 ")
    assert block_levels.startswith("On split blocks t0 ")
    assert f"{best:.2f} nats, t3 0." in block_levels


def test_no_pair_keeps_its_order_before_the_first_look_has_ended():
    *others, last = BLOCKS
    waiting = replace(last, results={s: r for s, r in last.results.items() if s < 9})  # of ten seeds
    order, changed, unsure, *_ = write_texts(design_arms((*TAIL, *others, waiting)))
    assert order.startswith("0 of 6 pairs")
    assert changed.startswith("t1 and t2 change")
    assert unsure.endswith(" for t0 and t1; t0 and t2; t0 and t3; t1 and t3; t2 and t3")


def test_one_arm_on_both_tasks_has_no_order():
    one_task = design_arms((*TAIL, replace(BLOCKS[1], against="b1")))
    assert "order" not in write_texts(one_task)[0]


@pytest.mark.parametrize("task", [{"tokens": "char"}, {"vocab": 100}, {"split": "blocks"}])
def test_each_setting_that_defines_the_task_makes_another_task(task):
    def make_pair(name: str, settings: dict) -> list[DesignArm]:
        return [make_arm(f"{name}{i}", 0.9 * i, settings={"clip": float(i), **settings}) for i in range(2)]

    others = [replace(arm, against="b0") for arm in make_pair("b", task)]
    order, *means = write_texts(design_arms((*make_pair("a", {}), *others)))
    assert order.startswith("1 of 1 pair ")
    assert len(means) == 2
