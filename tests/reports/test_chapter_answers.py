"""The answers on the chapter's page: each follows from its measurement, and turns with it."""

from collections.abc import Callable
from typing import Any

import pytest

from bench.analyses import recall
from reports.chapter import distances, mechanics, trainings, words
from reports.statistics.verdicts import Word

Found = dict[str, Any]
SEEDS = tuple(map(str, range(10)))


def test_the_numbers_in_the_sentences_are_the_measured_ones(found) -> None:
    assert (
        "1.2·10⁻⁷ in float32, 9.8·10⁻⁴ in float16, 0.0078 in bfloat16"
        in mechanics.spacing(found["spacing"]).text
    )
    right = found["targets"]["accuracy"]["every"].values()
    assert f"{sum(right) / len(right):.3f} from every one" in trainings.targets(found["targets"]).text
    assert "951 times" in words.coverage(found["coverage"], found["trained"]).text
    means = {m["p"]: m for m in found["dropout"]["means"]}
    assert f"{means[0.5]['unscaled']:.3f} without it" in mechanics.dropout(found["dropout"]).text


def gradients(
    found: Found, start: float, end: float, gated: float | None = None, far: float = 0, early: float = 0
) -> str:
    """Of gradients of four cells, before training and after; of gated ones `early`, and `far` at the last."""
    ends = {cell: gated if gated and cell in distances.GATED else end for cell in distances.CELLS}
    last = {cell: far if far and cell in distances.GATED else ends[cell] for cell in ends}
    first = {cell: early if early and cell in distances.GATED else start for cell in ends}
    far_ = {c: {"0": [1.0, *[first[c]] * 63], "15": [1.0, *[ends[c]] * 62, last[c]]} for c in ends}
    shown = distances.gradients({**found["cells"], "gradients": far_})
    return f"{shown.answer} {shown.text}"


def growth(found: Found, cell_state: float) -> str:
    """Of states that are 1 everywhere, but for an LSTM's c at the end of the text."""
    flat = {
        cell: {w: {p: [{"16": 1.0, "1024": 1.0}] for p in parts} for w, parts in by.items()}
        for cell, by in found["cells"]["states"].items()
    }
    flat["LSTM"]["end"]["c"] = [{"16": 1.0, "1024": cell_state}]
    return distances.growth({**found["cells"], "states": flat}).answer


def recalled(found: Found, lstm: float, gru: float, opened: float = 1.0) -> str:
    """Of cells of which the plain ones recall a digit over two words."""
    right = {"ReLU": 0.1, "tanh": 0.1, "LSTM": lstm, "GRU": gru, recall.KEEPING: opened}
    accuracy = {c: {"2": [1.0], "4": [a]} for c, a in right.items()}
    return distances.recall({**found["recall"], "accuracy": accuracy}).answer


def stability(steep: tuple[float, float], wide: tuple[float, float]) -> str:
    """Of the largest gradient and the spread of accuracy, with ReLU and with tanh."""
    runs = (
        [
            {"activation": [1.0, 2.0], "gradient": [1.0, g], "accuracy": [0.3, 0.5 + w * (i % 5 - 2)]}
            for i in range(20)
        ]
        for g, w in zip(steep, wide, strict=True)
    )
    return trainings.stability(dict(zip(("ReLU", "tanh"), runs, strict=True))).answer


def context(two: float, three: float) -> str:
    counts = {"1": 0.1, "2": two, "3": three}
    return words.context({"blocks": counts, "tail": counts}).answer


def halved(effect: float, spread: float) -> str:
    whole = dict.fromkeys(SEEDS, 0.6)
    half = {seed: 0.6 + effect + spread * (int(seed) % 5 - 2) for seed in whole}
    return trainings.halved({"float32": whole, "bfloat16": half}).answer


def state(found: Found, kept: float, other: float = 0.5) -> str:
    habits = {"kept": {"0": kept}, "zeroed": {"0": 0.6}, "another row's": {"0": other}}
    shown = words.order({**found["trained"], "reading": {"grouped": habits, "shuffled": habits}})
    return f"{shown.answer} {shown.text}"


def gates(found: Found, dot: float) -> str:
    opening = {"forget, layer 1": {"separator": dot, "tens": 0.5, "thousand": 0.8}}
    return words.gates({**found["trained"], "gates": [opening]}).answer


def dropped(found: Found, **changed: float) -> str:
    means = [{**m, **changed} for m in found["dropout"]["means"]]
    return mechanics.dropout({**found["dropout"], "means": means}).answer


def rows(found: Found, before: str) -> str:
    read = [{**r, "read": f"{before}{r['read']}"} for r in found["batches"]["rows"]]
    return words.batches({**found["batches"], "rows": read}).answer


def coverage(found: Found, tail: float, thousand: int = 9) -> str:
    new = {**found["coverage"], "tail": {**found["coverage"]["tail"], "new": {"1": 0.0, "2": tail}}}
    roles = {"thousand": [1.0, thousand, 10], "lead digit": [1.0, 1, 10]}
    shown = words.coverage(new, {**found["trained"], "roles": {"LMModel6": [roles]}})
    return f"{shown.answer} {shown.text}"


@pytest.mark.parametrize(
    ("said", "of"),
    [
        ("vanishes within 16 words, with gates and without", lambda f: gradients(f, 1e-6, 0.3)),
        ("reach further in all of them", lambda f: gradients(f, 1e-6, 0.3)),
        ("with gates at least 300", lambda f: gradients(f, 1e-6, 0.3, early=3e-4)),
        ("with gates and without.", lambda f: gradients(f, 1e-6, 0.3)),
        ("no cell loses it", lambda f: gradients(f, 0.5, 0.6)),
        ("in none of them", lambda f: gradients(f, 1e-6, 1e-7)),
        ("Training overcomes that here", lambda f: gradients(f, 1e-6, 0.3)),
        ("Training lets it reach further", lambda f: gradients(f, 0.5, 0.6)),
        ("both gated cells keep more of it 16 and 63 words back", lambda f: gradients(f, 1e-6, 0.3, 0.6)),
        ("both plain cells keep more of it 16 and 63 words back", lambda f: gradients(f, 1e-6, 0.3, 0.1)),
        ("both plain cells keep more of it 63 words back", lambda f: gradients(f, 1e-6, 0.3, far=0.1)),
        ("neither the gated nor the plain", lambda f: gradients(f, 1e-6, 0.3, 0.3)),
        ("no state grows from 16 words", lambda f: growth(f, 1.0)),
        ("LSTM’s c grows 3.0-fold from 16 words to 1 024", lambda f: growth(f, 3.0)),
        ("cells with gates recall a digit over more words", lambda f: recalled(f, 1.0, 1.0)),
        ("not every cell with gates does", lambda f: recalled(f, 0.1, 1.0)),
        ("gates do not help", lambda f: recalled(f, 0.1, 0.1)),
        (f"Furthest: {recall.KEEPING}, over 4 or more words", lambda f: recalled(f, 0.1, 0.1)),
        ("not needed for it: a GRU keeps its only one", lambda f: recalled(f, 0.1, 0.1)),
        ("gets less far than an LSTM", lambda f: recalled(f, 1.0, 0.1)),
        ("gets from 2 words to 4", lambda f: recalled(f, 0.1, 0.1)),
        ("do not take an LSTM further", lambda f: recalled(f, 0.1, 0.1, opened=0.1)),
        (
            "the largest gradients are larger with ReLU than with tanh on 20 of 20 seeds",
            lambda _: stability((9.0, 2.0), (0.1, 0.01)),
        ),
        ("varies more from seed", lambda _: stability((9.0, 2.0), (0.1, 0.01))),
        ("It is not ReLU's gradients", lambda _: stability((2.0, 9.0), (0.01, 0.1))),
        ("varies less from seed", lambda _: stability((2.0, 9.0), (0.01, 0.1))),
        ("do not set it apart", lambda _: stability((2.0, 2.0), (0.1, 0.1))),
        ("is undecided", lambda _: stability((2.0, 2.0), (0.1, 0.1))),
        ("Less than half of the time: counting what followed two words", lambda _: context(0.4, 0.4)),
        ("Mostly: counting what followed two words tells 60 %", lambda _: context(0.6, 0.6)),
        ("50 % of the words on random blocks, more than from one (10 %)", lambda _: context(0.5, 0.5)),
        ("10 % of the words on random blocks, no more than from one (10 %)", lambda _: context(0.1, 0.1)),
        ("more words do not help (50 % at best)", lambda _: context(0.5, 0.5)),
        ("more words help (70 % at best)", lambda _: context(0.5, 0.7)),
        ("Yes: with products in bfloat16 LMModel4 ends less", lambda _: halved(-0.1, 0.01)),
        ("No: with products in bfloat16 LMModel4 ends more", lambda _: halved(0.1, 0.01)),
        ("ends as accurate, but for a difference too small to matter.", lambda _: halved(0.0, 0.001)),
        ("Hardly: LMModel4 changes, by less than matters.", lambda _: halved(0.005, 0.001)),
        ("do not decide", lambda _: halved(0.0, 0.2)),
        ("in order it brings 0.200 of accuracy", lambda f: state(f, 0.8)),
        ("outlive the reach of the gradients", lambda f: state(f, 0.8)),
        ("in order it costs 0.200 of accuracy", lambda f: state(f, 0.4)),
        ("shuffled windows it brings nothing", lambda f: state(f, 0.6)),
        ("worse than none (0.500); a reset at the start of an epoch", lambda f: state(f, 0.8)),
        ("better than none (0.700), so nothing here asks", lambda f: state(f, 0.8, other=0.7)),
        ("keeps least of it there and most at “thousand” (0.80)", lambda f: gates(f, 0.1)),
        (
            "keeps 0.99 there in the mean, least at a ten (0.50) and most at “.” (0.99)",
            lambda f: gates(f, 0.99),
        ),
        ("keeps the mean", lambda f: dropped(f)),
        ("does not keep the mean", lambda f: dropped(f, scaled=0.5)),
        ("a row of a batch goes on where", lambda f: rows(f, "")),
        ("a row of a batch does not go on", lambda f: rows(f, "zero ")),
        ("is less like its", lambda f: coverage(f, 0.5)),
        ("is not less like its", lambda f: coverage(f, 0.0)),
        ("still gets “thousand” right in 90 % and fails", lambda f: coverage(f, 0.5, 9)),
        ("in 0 % and the digit before it in 10 %", lambda f: coverage(f, 0.5, 0)),
        ("scratch computes the same as nn.LSTM", lambda f: mechanics.lstms(f["same"]).answer),
        ("which is rounding", lambda f: mechanics.lstms(f["same"]).answer),
        (
            "does not compute the same as nn.LSTM: they differ by at most 0.1, which is more than rounding",
            lambda _: mechanics.lstms({"LSTM": {"outputs": 0.1, "gradients": 0.1}}).answer,
        ),
    ],
)
def test_an_answer_turns_with_its_measurement(found, said: str, of: Callable[[Found], str]) -> None:
    assert said in of(found)


@pytest.mark.parametrize(
    ("kept", "said"),
    [(0.8, "it brings 0.200"), (0.4, "it costs 0.200"), (0.6, "it brings nothing")],
)
def test_the_use_of_a_state_is_told_of_both_orders(found, kept: float, said: str) -> None:
    assert state(found, kept).count(said) == 2


def test_a_memory_is_said_to_outlive_the_gradients_only_where_the_state_is_of_use(found) -> None:
    assert "outlive" not in state(found, 0.6) + state(found, 0.4)


@pytest.mark.parametrize(("effect", "word"), [(0.05, Word.IMPROVES), (-0.05, Word.WORSENS)])
def test_one_word_in_three_is_judged_by_its_accuracies(found, effect: float, word: Word) -> None:
    third = {seed: 0.5 + 0.01 * int(seed) for seed in SEEDS}
    every = {seed: a + effect + 0.001 * (int(seed) % 3) for seed, a in third.items()}
    shown = trainings.targets({**found["targets"], "accuracy": {"third": third, "every": every}})
    assert shown.judged is not None
    assert shown.judged.verdict.word is word
    assert ("that costs accuracy." in shown.answer) == (word is Word.IMPROVES)


def test_the_dearest_kind_of_word_and_the_commonest_mistake_are_named(found) -> None:
    roles = {"lead digit": [80.0, 2, 10], "tens": [20.0, 80, 90]}
    data = {
        **found["trained"],
        "roles": {"LMModel6": [roles], "LMModel7": [roles]},
        "lead": {
            "LMModel6": [{"nine": {"four": 8, "nine": 2}}],
            "LMModel7": [{"nine": {"nine": 9, "one": 1}}],
        },
    }
    shown = words.grammar(data)
    assert (
        "80 % of LMModel6's validation loss (1.00 nats) comes from one kind of word, the lead digit"
        in shown.answer
    )
    assert shown.answer.endswith("of the words; LMModel7 gets 20 % of them right, LMModel6 20 %.")
    assert "LMModel6 says “four” most often, 8 of 10 times" in shown.text
    assert "costs LMModel6 8.0 nats in the mean, more than the 2.2 of an even guess" in shown.text
    assert "it is overconfident" in shown.text
    data["roles"]["LMModel6"] = [{"lead digit": [10.0, 9, 10], "tens": [90.0, 9, 90]}]
    assert "90 % of LMModel6's validation loss" in words.grammar(data).answer
    assert "1.0 nats in the mean, less than the 2.2 of an even guess" in words.grammar(data).text
    assert "overconfident" not in words.grammar(data).text
    assert "the tens" in words.grammar(data).answer


def test_relative_precision_is_said_to_be_the_same_only_where_it_is(found) -> None:
    assert "the relative precision is the same" in mechanics.spacing(found["spacing"]).answer
    gaps = {name: [1e-7] * len(by) for name, by in found["spacing"]["gaps"].items()}
    shown = mechanics.spacing({**found["spacing"], "gaps": gaps})
    assert "relative to the magnitude the distance differs too" in shown.answer
    assert "the distance doubles" not in shown.text


def test_a_history_is_said_to_grow_and_to_be_refused_only_where_it_is(found) -> None:
    shown = mechanics.history(found["history"])
    assert "grows with every batch" in shown.answer and "costs the same however long" in shown.answer
    assert "the first one freed the graph; with retain_graph=True it refuses as well" in shown.text
    flat, grown = ({"nodes": n, "bytes": n} for n in ([9, 9], [9, 18]))
    other = {**found["history"], "detached": grown, "not detached": flat}
    shown = mechanics.history({**other, "refused": {"freed": "", "retained": "out of memory"}})
    assert "grows" not in shown.answer and "costs the same" not in shown.answer
    assert "does not refuse it; with retain_graph=True it refuses as well (“out of memory”)" in shown.text
