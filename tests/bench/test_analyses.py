"""The measurements: known numbers where there are any, and claims about what was measured where not."""

import math
import pkgutil
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.analyses import (
    MEASURED,
    anatomy,
    cells,
    floats,
    identity,
    learning,
    parts,
    recall,
    trained,
    validation_text,
)
from bench.models.registry import spec_of
from bench.run import run_trial
from bench.trial import canonical


def test_the_spacing_of_floats_is_that_of_their_formats() -> None:
    found = floats.spacing(low=-12, high=15)
    at = found["exponents"].index(0)
    # IEEE 754: 23 bits of fraction in binary32, 10 in binary16; bfloat16 has 7.
    assert [found["gaps"][f][at] for f in ("float32", "float16", "bfloat16")] == [2**-23, 2**-10, 2**-7]
    assert all(b == 2 * a for gaps in found["gaps"].values() for a, b in pairwise(gaps))
    # one bit more than the fraction and its hidden bit: 2^24 + 1, 2^11 + 1, 2^8 + 1
    assert found["first_gap"] == {"float32": 16_777_217, "float16": 2049, "bfloat16": 257}
    assert found["share_below_one"] == pytest.approx(127 / 255)  # exponents 0 to 126 of 0 to 254


def test_errors_of_repeated_products_grow_and_lie_near_the_formats_epsilon() -> None:
    found = floats.precision(steps=64)
    assert found["steps"] == [1, 2, 4, 8, 16, 32, 64]
    for name, epsilon in (("float32", 2**-23), ("bfloat16", 2**-7)):
        errors = found["errors"][name]
        assert errors == sorted(errors)
        assert epsilon / 8 < errors[0] < 4 * epsilon


def test_tanh_is_a_sigmoid_stretched_with_four_times_its_slope() -> None:
    found = floats.tanh()
    assert found["gap"] < 1e-15
    assert found["steepest"] == {"tanh": pytest.approx(1), "sigmoid": pytest.approx(0.25)}


def test_the_batches_go_on_in_the_words_of_the_text() -> None:
    found = validation_text.batches(count=2, rows=1)
    first, second = found["rows"]
    # the validation windows begin at 8,083, one token in
    assert first["read"].startswith("thousand eighty three . eight thousand eighty four .")
    assert first["asked"].split()[:-1] == first["read"].split()[1:]
    assert second["read"].split()[0] == first["asked"].split()[-1]
    assert (found["batches"], found["of"]) == (12, 64)


def test_nine_thousand_is_new_on_the_chapters_split_and_not_on_blocks() -> None:
    found = validation_text.coverage(longest=2)
    assert found["tail"]["most_common"][0]["pair"] == "nine thousand"
    assert found["tail"]["new"][2] > 0.07
    assert found["blocks"]["new"][2] == 0
    assert found["tail"]["new"][1] == found["blocks"]["new"][1] == 0


def test_every_cell_from_scratch_is_torchs_to_rounding() -> None:
    for name, apart in parts.same(size=16).items():
        assert 0 <= max(apart.values()) < 1e-14, name


def test_a_cell_with_other_weights_would_be_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts.ChunkCell, "copy", lambda cell, weights: None)
    assert parts.same(size=16)["LSTM, chunked"]["outputs"] > 1e-3


def test_the_division_keeps_the_mean_and_the_share_is_one_minus_p() -> None:
    found = parts.dropout()
    for row in found["means"]:
        # four standard errors of the mean of 2^18 draws
        error = 4 * math.sqrt(row["p"] * (1 - row["p"]) / 2**18)
        assert row["unscaled"] == pytest.approx(1 - row["p"], abs=error)
        assert row["scaled"] == pytest.approx(1, abs=error / (1 - row["p"]))
    assert found["nothing in evaluation"]


def test_counting_two_words_tells_what_a_table_of_pairs_tells() -> None:
    found = validation_text.context(longest=2)
    # by hand: after "." and after "one" the table has one answer each, so that one word tells little
    assert found["blocks"][1] < 0.2 < found["blocks"][2] < 0.5
    assert found["tail"][2] < found["blocks"][2]


def test_a_guess_falls_back_on_fewer_words() -> None:
    best = {(): 7, (1,): 8, (2, 1): 9}
    assert [validation_text._guess(best, before) for before in ([2, 1], [3, 1], [3])] == [9, 8, 7]


def test_the_source_is_that_of_the_models() -> None:
    found = parts.sources()
    assert found["LMModel1"].startswith("class LMModel1(LMModel2):")
    assert ".chunk(4, dim=1)" in found["ChunkCell"] and "torch.cat([h, x], dim=1)" in found["GatesCell"]


def test_every_part_of_awd_lstm_does_what_its_concept_says() -> None:
    rows = anatomy.anatomy()["rows"]
    assert [row["line"] for row in rows if not row["ok"]] == []
    assert len(rows) == 18


@cache
def watched() -> Mapping[str, Any]:
    return learning.stability(seeds=[3], epochs=2)


def test_tanh_bounds_activations_and_relu_does_not() -> None:
    assert max(watched()["tanh"][0]["activation"]) <= 1
    assert max(watched()["ReLU"][0]["activation"]) > 1


def test_a_monitor_has_a_number_for_each_epoch() -> None:
    for (one,) in watched().values():
        numbers = [len(one[key]) for key in ("accuracy", "activation", "gradient")]
        assert numbers == [2, 2, 2] and min(one["gradient"]) > 0


def test_watching_changes_no_number_whatever_was_drawn_before() -> None:
    torch.manual_seed(99)
    trial = spec_of("lm4").trial(3, epochs=2)
    record = learning.fit(trial, learning.build(trial))
    assert [e.accuracy for e in record.epochs] == watched()["ReLU"][0]["accuracy"]


def test_a_measurement_trains_on_the_windows_in_the_order_of_its_trial() -> None:
    trial = spec_of("lm4").trial(epochs=1, order="shuffled")
    record = learning.fit(trial, learning.build(trial))
    assert record.valid.loss() == run_trial(trial).metrics["valid_loss"]


def test_the_twin_differs_by_its_nonlinearity_alone() -> None:
    trial = spec_of("lm4").trial()
    relu = learning.build(trial)
    tanh = learning.Tanh(30, 64)
    tanh.load_state_dict(relu.state_dict())
    word = torch.tensor([[3]])
    before = relu.h_h(relu.i_h(word[:, 0]))  # type: ignore[operator, arg-type]
    assert torch.equal(tanh.unroll(word, None)[1], before.tanh())


def test_the_gradient_norm_is_that_of_all_parameters_together() -> None:
    trial = spec_of("lm4").trial(epochs=1)
    model = learning.build(trial)
    monitor = learning.Monitor(model)
    model.train()
    model(torch.arange(32).remainder(30).view(2, 16)).logits.pow(2).mean().backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert monitor.gradient == [pytest.approx(float(torch.cat([g.flatten() for g in grads]).norm()))]


def test_a_third_of_the_answers_is_asked_for_on_the_same_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fit(trial: Any, model: Any, train: Any = None) -> Any:
        asked.append(train)
        return SimpleNamespace(valid=SimpleNamespace(accuracy=lambda: 0.5, loss=lambda: 1.0))

    monkeypatch.setattr(learning, "fit", fit)
    found = learning.targets(seeds=[0])
    third, every = asked
    assert torch.equal(third.inputs, every.inputs) and torch.equal(third.rows, every.rows)
    counted = third.targets != learning.NOT_ASKED
    assert torch.equal(third.targets[counted], every.targets[counted])
    assert counted.sum(1).unique().tolist() == [5] and found["window"] == every.targets.shape[1] == 15


@cache
def three_models() -> Mapping[str, Any]:
    return trained.trained(seeds=[0], epochs=1)


def test_mistakes_at_the_first_digit_are_those_of_the_roles() -> None:
    for name, (roles,) in three_models()["roles"].items():
        (lead,) = three_models()["lead"][name]
        nats, hits, asked = roles["lead digit"]
        assert sum(sum(row.values()) for row in lead.values()) == asked and nats > 0
        assert sum(row.get(digit, 0) for digit, row in lead.items()) == hits
    assert three_models()["held"]["nine"] == 101  # of 9 and 900 to 999


def test_a_state_kept_zeroed_and_of_another_row_are_three_readings() -> None:
    for habits in three_models()["reading"].values():
        assert len({by_seed[0] for by_seed in habits.values()}) == 3


def test_the_gates_are_those_that_make_the_next_cell_state() -> None:
    torch.manual_seed(0)
    rnn = torch.nn.LSTM(4, 4, 1, batch_first=True).double()
    x, h, c = torch.randn(3, 1, 4).double().unbind(0)
    _, (after, cell) = rnn(x[:, None], (h[None], c[None]))
    gates = trained._gates(rnn, 0, x, h)
    assert torch.allclose(after[0], gates["output"] * cell[0].tanh())
    new = (cell[0] - gates["forget"] * c) / gates["input"]
    assert new.abs().max() < 1  # a tanh


def test_recall_without_training_is_a_guess_and_over_two_words_is_learnt() -> None:
    found = recall.recall(seeds=[0], distances=[2], steps=120)["accuracy"]
    assert found["GRU"][2] == [1.0]
    assert all(by[2][0] < 0.5 for by in recall.recall(seeds=[0], distances=[2], steps=0)["accuracy"].values())


@cache
def four_cells() -> Mapping[str, Any]:
    return cells.cells(seeds=[0], epochs=1)


def test_the_cells_are_single_layers_in_the_chapters_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        cells, "snapshots", lambda trial, model: asked.append(trial) or {0: model.state_dict()}
    )
    cells.cells(seeds=[4])
    assert asked == [spec_of(zoo).trial(4, {"layers": 1}) for zoo in cells.CELLS.values()]


def test_gradients_are_shares_of_the_newest_words() -> None:
    for cell, by_epoch in four_cells()["gradients"].items():
        assert list(by_epoch) == [0, 1]
        for shares in by_epoch.values():
            assert shares[0] == pytest.approx(1) and len(shares) == cells.BACK, cell
    # untrained, every cell forgets
    assert all(by_epoch[0][-1] < 1e-6 for by_epoch in four_cells()["gradients"].values())


def test_a_snapshot_is_of_the_end_of_its_epoch() -> None:
    trial = spec_of("lm5").trial(options={"layers": 1}, epochs=2)
    model = learning.build(trial)
    kept = cells.snapshots(trial, model)
    assert list(kept) == [0, 1, 2]
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in kept[2].items())
    assert not torch.equal(kept[0]["h_o.weight"], kept[1]["h_o.weight"])


def test_only_relu_and_the_cell_state_may_leave_one() -> None:
    def largest(cell: str, part: str) -> float:
        runs = four_cells()["states"][cell]["end"][part]
        return max(value for run in runs for value in run.values())

    assert max(largest("tanh", "h"), largest("LSTM", "h"), largest("GRU", "h")) <= 1
    assert largest("ReLU", "h") > 1


def test_float32_moves_a_loss_less_than_bfloat16() -> None:
    (one,) = four_cells()["rounding"]
    off = {name: abs(found["loss"] - one["float64"]["loss"]) for name, found in one.items()}
    assert off["float64"] == 0 < off["float32"] < off["bfloat16"] < 0.1


@pytest.mark.parametrize("name", ["spacing", "precision", "same", "anatomy"])
def test_a_measurement_gives_the_same_bytes_again(name: str) -> None:
    function = pkgutil.resolve_name(MEASURED[name])
    assert canonical(function()) == canonical(function())


def test_identities_differ_by_name() -> None:
    assert len({identity(name) for name in MEASURED}) == len(MEASURED)
