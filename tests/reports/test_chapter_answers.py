"""The answers on the chapter's page: each follows from its measurement, and turns with it."""

from typing import Any

import pytest

from bench.analyses import recall
from reports.chapter import distances, mechanics, trainings, words
from reports.statistics.verdicts import Word


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


def _far(start: float, end: float, gated: float | None = None) -> dict[str, Any]:
    """Gradients of four cells at 16 words and more, before training and after."""
    ends = {cell: gated if gated and cell in distances.GATED else end for cell in distances.CELLS}
    return {c: {"0": [1.0, *[start] * 63], "15": [1.0, *[ends[c]] * 63]} for c in distances.CELLS}


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (1e-6, 0.3, "vanishes within 16 words, with gates and without"),
        (1e-6, 0.3, "reach further in all of them"),
        (0.5, 0.6, "no cell loses it"),
        (1e-6, 1e-7, "in none of them"),
    ],
)
def test_the_answer_on_gradients_turns_with_them(found, start: float, end: float, said: str) -> None:
    assert said in distances.gradients({**found["cells"], "gradients": _far(start, end)}).answer


@pytest.mark.parametrize(
    ("gated", "said"),
    [
        (0.6, "both gated cells keep more"),
        (0.1, "both plain cells keep more"),
        (0.3, "no clear advantage of cells with gates"),
    ],
)
def test_gates_are_praised_only_where_they_keep_more(found, gated: float, said: str) -> None:
    assert said in distances.gradients({**found["cells"], "gradients": _far(1e-6, 0.3, gated)}).text


def test_a_state_is_said_to_grow_only_where_it_does(found) -> None:
    flat = {
        cell: {w: {p: [{"16": 1.0, "1024": 1.0}] for p in parts} for w, parts in by.items()}
        for cell, by in found["cells"]["states"].items()
    }
    data = {**found["cells"], "states": flat}
    assert "no state grows after 16 words" in distances.growth(data).answer
    flat["LSTM"]["end"]["c"] = [{"16": 1.0, "1024": 3.0}]
    assert "LSTM’s c still grows after 16 words" in distances.growth(data).answer


@pytest.mark.parametrize(
    ("lstm", "gru", "said"),
    [
        (1.0, 1.0, "Cells with gates learn to recall a digit over more words"),
        (0.1, 1.0, "not in every cell"),
        (0.1, 0.1, "gates do not help"),
    ],
)
def test_the_answer_on_recall_turns_with_it(found, lstm: float, gru: float, said: str) -> None:
    right = {"ReLU": 0.1, "tanh": 0.1, "LSTM": lstm, "GRU": gru, recall.KEEPING: 1.0}
    data = {**found["recall"], "accuracy": {c: {"2": [1.0], "4": [a]} for c, a in right.items()}}
    shown = distances.recall(data)
    assert said in shown.answer and recall.KEEPING in shown.answer and "4 or more words" in shown.answer


@pytest.mark.parametrize(("effect", "word"), [(0.05, Word.IMPROVES), (-0.05, Word.WORSENS)])
def test_one_word_in_three_is_judged_by_its_accuracies(found, effect: float, word: Word) -> None:
    third = {str(seed): 0.5 + 0.01 * seed for seed in range(10)}
    every = {seed: a + effect + 0.001 * (int(seed) % 3) for seed, a in third.items()}
    data = {**found["targets"], "accuracy": {"third": third, "every": every}}
    shown = trainings.targets(data)
    assert shown.judged is not None
    assert shown.judged.verdict.word is word
    assert ("that costs accuracy." in shown.answer) == (word is Word.IMPROVES)


def _runs(gradient: float, accuracies: list[float]) -> list[dict[str, Any]]:
    one: dict[str, Any] = {"activation": [1.0, 2.0], "gradient": [1.0, gradient]}
    return [{**one, "seed": i, "accuracy": [0.3, a]} for i, a in enumerate(accuracies)]


@pytest.mark.parametrize(
    ("steep", "wide", "said"),
    [
        ((9.0, 2.0), (0.1, 0.01), ("ReLU lets its gradients spike", "varies more from seed")),
        ((2.0, 9.0), (0.01, 0.1), ("It is not ReLU's gradients", "varies less from seed")),
        ((2.0, 2.0), (0.1, 0.1), ("do not set it apart", "is undecided")),
    ],
)
def test_the_answer_on_instability_turns_with_its_measures(steep, wide, said) -> None:
    relu, tanh = (
        _runs(g, [0.5 + w * (i % 5 - 2) for i in range(20)]) for g, w in zip(steep, wide, strict=True)
    )
    answer = trainings.stability({"ReLU": relu, "tanh": tanh}).answer
    assert all(part in answer for part in said)


@pytest.mark.parametrize(
    ("kept", "said"),
    [(0.8, "uses the state"), (0.4, "is misled by the state"), (0.6, "has no use for the state")],
)
def test_the_state_is_said_to_be_of_use_only_where_it_is(found, kept: float, said: str) -> None:
    habits = {"kept": {"0": kept}, "zeroed": {"0": 0.6}, "another row's": {"0": 0.5}}
    data = {**found["trained"], "reading": {"grouped": habits, "shuffled": habits}}
    assert words.order(data).answer.count(said) == 2
    assert ("outlive the reach of the gradients" in words.order(data).text) == (kept > 0.62)
    assert "worse than none (0.500), so the state is reset" in words.order(data).answer
    habits["another row's"] = {"0": 0.7}
    assert "better than none (0.700), so nothing here asks" in words.order(data).answer


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
    data["roles"]["LMModel6"] = [{"lead digit": [10.0, 9, 10], "tens": [90.0, 9, 90]}]
    assert "90 % of LMModel6's validation loss" in words.grammar(data).answer
    assert "the tens" in words.grammar(data).answer


@pytest.mark.parametrize(("dot", "said"), [(0.1, "it forgets most where"), (0.99, "it does not forget most")])
def test_the_gate_is_said_to_forget_where_it_does(found, dot: float, said: str) -> None:
    gates = {"forget, layer 1": {"separator": dot, "tens": 0.5, "thousand": 0.8}}
    assert said in words.gates({**found["trained"], "gates": [gates]}).answer


@pytest.mark.parametrize(
    ("two", "three", "said"),
    [
        (0.5, 0.5, "Two words tell more than one"),
        (0.1, 0.1, "no more than one"),
        (0.5, 0.7, "with more it gets more (70 % at best)"),
    ],
)
def test_the_answer_on_context_turns_with_its_counts(two: float, three: float, said: str) -> None:
    counts = {"1": 0.1, "2": two, "3": three}
    assert said in words.context({"blocks": counts, "tail": counts}).answer


def test_two_cells_that_differ_are_said_to(found) -> None:
    data = {"LSTM, chunked": {"outputs": 0.1, "gradients": 0.1}}
    assert mechanics.lstms(data).answer.startswith("No")
    assert mechanics.lstms(found["same"]).answer.startswith("Yes")


def test_the_scale_is_said_to_keep_the_mean_only_where_it_does(found) -> None:
    assert "keeps the mean" in mechanics.dropout(found["dropout"]).answer
    means = [{**m, "scaled": 0.5} for m in found["dropout"]["means"]]
    assert "does not keep the mean" in mechanics.dropout({**found["dropout"], "means": means}).answer


def test_rows_are_said_to_go_on_only_where_they_do(found) -> None:
    assert "a row of a batch goes on where" in words.batches(found["batches"]).answer
    rows = [{**r, "read": f"zero {r['read']}"} for r in found["batches"]["rows"]]
    assert "a row of a batch does not go on" in words.batches({**found["batches"], "rows": rows}).answer


@pytest.mark.parametrize(
    ("effect", "spread", "said"),
    [
        (-0.1, 0.01, "Yes: with products of half the precision LMModel4 ends less accurate."),
        (0.1, 0.01, "No: with products of half the precision LMModel4 ends more accurate."),
        (0.0, 0.001, "ends as accurate, but for a difference too small to matter."),
        (0.005, 0.001, "Hardly: LMModel4 changes, by less than matters."),
        (0.0, 0.2, "do not decide"),
    ],
)
def test_the_answer_on_half_the_precision_turns_with_its_accuracies(effect, spread, said) -> None:
    whole = {str(seed): 0.6 for seed in range(10)}
    half = {seed: 0.6 + effect + spread * (int(seed) % 5 - 2) for seed in whole}
    assert said in trainings.halved({"float32": whole, "bfloat16": half}).answer


def test_relative_precision_is_said_to_be_the_same_only_where_it_is(found) -> None:
    assert "the relative precision is the same" in mechanics.spacing(found["spacing"]).answer
    gaps = {name: [1e-7] * len(by) for name, by in found["spacing"]["gaps"].items()}
    shown = mechanics.spacing({**found["spacing"], "gaps": gaps})
    assert "relative to the magnitude the distance differs too" in shown.answer
    assert "the distance doubles" not in shown.text


@pytest.mark.parametrize(("tail", "said"), [(0.5, "is less like its"), (0.0, "is not less like its")])
def test_the_validation_text_is_said_to_be_new_only_where_it_is(found, tail: float, said: str) -> None:
    data = {**found["coverage"], "tail": {**found["coverage"]["tail"], "new": {"1": 0.0, "2": tail}}}
    assert said in words.coverage(data, found["trained"]).answer


@pytest.mark.parametrize(
    ("thousand", "said"),
    [(9, "still gets “thousand” right in 90 % and fails"), (0, "in 0 % and the digit before it in 10 %")],
)
def test_the_pair_is_blamed_on_its_first_word_only_where_the_second_is_right(found, thousand, said) -> None:
    roles = {"thousand": [1.0, thousand, 10], "lead digit": [1.0, 1, 10]}
    data = {**found["trained"], "roles": {"LMModel6": [roles]}}
    assert said in words.coverage(found["coverage"], data).text


def test_a_history_is_said_to_grow_and_to_be_refused_only_where_it_is(found) -> None:
    shown = mechanics.history(found["history"])
    assert "grows with every batch" in shown.answer and "stays the same however long" in shown.answer
    assert "the first one freed the graph; with retain_graph=True it refuses as well" in shown.text
    flat, grown = ({"nodes": n, "bytes": n} for n in ([9, 9], [9, 18]))
    other = {**found["history"], "detached": grown, "not detached": flat}
    shown = mechanics.history({**other, "refused": {"freed": "", "retained": "out of memory"}})
    assert "grows" not in shown.answer and "stays the same" not in shown.answer
    assert "does not refuse it; with retain_graph=True it refuses as well (“out of memory”)" in shown.text


@pytest.mark.parametrize(
    ("opened", "said"), [(1.0, "gets from 2 words to 4"), (0.1, "do not take an LSTM further")]
)
def test_open_gates_are_said_to_reach_further_only_where_they_do(found, opened: float, said: str) -> None:
    right = {c: {"2": [1.0], "4": [opened if c == recall.KEEPING else 0.1]} for c in distances.RECALL}
    assert said in distances.recall({**found["recall"], "accuracy": right}).answer
