"""The measurements: known numbers where there are any, and claims about what was measured where not."""

import math
import pkgutil
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
import torch

from bench.analyses import MEASURED, anatomy, cells, floats, identity, learning, parts, validation_text
from bench.models.registry import spec_of
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
    found = parts.dropout(epochs=1)
    for row in found["means"]:
        # four standard errors of the mean of 2^18 draws
        error = 4 * math.sqrt(row["p"] * (1 - row["p"]) / 2**18)
        assert row["unscaled"] == pytest.approx(1 - row["p"], abs=error)
        assert row["scaled"] == pytest.approx(1, abs=error / (1 - row["p"]))
    assert len(set(found["losses"].values())) == 3


def test_every_part_of_awd_lstm_does_what_its_concept_says() -> None:
    rows = anatomy.anatomy()["rows"]
    assert [row["line"] for row in rows if not row["ok"]] == []
    assert len(rows) == 13


@pytest.fixture(scope="module")
def watched() -> Mapping[str, Any]:
    torch.set_num_threads(1)  # as each test has it, before whose fixture this one is made
    return learning.stability(seeds=[3], epochs=2)


def test_tanh_bounds_activations_and_relu_does_not(watched: Mapping[str, Any]) -> None:
    assert max(watched["tanh"][0]["activation"]) <= 1
    assert max(watched["LMModel4"][0]["activation"]) > 1


def test_a_monitor_has_a_number_for_each_epoch(watched: Mapping[str, Any]) -> None:
    for (one,) in watched.values():
        numbers = [len(one[key]) for key in ("accuracy", "activation", "gradient", "radius")]
        assert numbers == [2, 2, 2, 3] and min(one["gradient"]) > 0


def test_watching_changes_no_number_whatever_was_drawn_before(watched: Mapping[str, Any]) -> None:
    torch.manual_seed(99)
    trial = learning.chapter("lm4", 3, {"epochs": 2})
    record = learning.fit(trial, learning.build(trial))
    assert [e.valid_loss for e in record.epochs] == watched["LMModel4"][0]["valid_loss"]


def test_the_gradient_norm_is_that_of_all_parameters_together() -> None:
    trial = learning.chapter("lm4", 0, {"epochs": 1})
    model = learning.build(trial)
    monitor = learning.Monitor(model, "h_h.weight")
    model.train()
    model(torch.arange(32).remainder(30).view(2, 16)).logits.pow(2).mean().backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert monitor.gradient == [pytest.approx(float(torch.cat([g.flatten() for g in grads]).norm()))]


def test_the_spectral_radius_of_a_known_matrix() -> None:
    # a rotation by 90° times 3 has eigenvalues ±3i
    assert learning.spectral_radius(torch.tensor([[0.0, -3.0], [3.0, 0.0]])) == pytest.approx(3)


def test_both_targets_are_trained_on_the_same_tokens_and_asked_for_the_same_words() -> None:
    found = learning.targets(seeds=[0], epochs=1)
    windows = 16824 // 64 * 64  # of 80 % of the 21,031 pairs, in whole batches
    assert found["tokens"] == 3 * windows and found["updates"] == windows // 64
    assert set(found["losses"]) == {"last", "every"}
    assert found["losses"]["last"][0] != found["losses"]["every"][0]


@pytest.fixture(scope="module")
def four_cells() -> Mapping[str, Any]:
    return cells.cells(seeds=[0], epochs=1)


def test_gradients_are_shares_of_the_last_words(four_cells: Mapping[str, Any]) -> None:
    for cell, when in four_cells["gradients"].items():
        for shares in when.values():
            assert shares[0] == pytest.approx(1) and len(shares) == cells.BACK, cell
    # untrained, every cell forgets
    assert all(when["start"][-1] < 1e-6 for when in four_cells["gradients"].values())


def test_only_relu_and_the_cell_state_may_leave_one(four_cells: Mapping[str, Any]) -> None:
    def largest(cell: str, part: str) -> float:
        runs = four_cells["states"][cell]["end"][part]
        return max(value for run in runs for value in run.values())

    assert max(largest("tanh", "h"), largest("LSTM", "h"), largest("GRU", "h")) <= 1
    assert largest("ReLU", "h") > 1


def test_float32_moves_a_loss_less_than_bfloat16(four_cells: Mapping[str, Any]) -> None:
    (one,) = four_cells["rounding"]
    off = {name: abs(found["loss"] - one["float64"]["loss"]) for name, found in one.items()}
    assert off["float64"] == 0 < off["float32"] < off["bfloat16"] < 0.1


@pytest.mark.parametrize("name", ["spacing", "precision", "same", "anatomy"])
def test_a_measurement_gives_the_same_bytes_again(name: str) -> None:
    function = pkgutil.resolve_name(MEASURED[name])
    assert canonical(function()) == canonical(function())


def test_identities_differ_by_name() -> None:
    assert len({identity(name) for name in MEASURED}) == len(MEASURED)


def test_the_cells_are_single_layers_in_the_chapters_settings() -> None:
    for zoo in cells.CELLS.values():
        trial = learning.chapter(zoo, 0, {}, layers=1)
        assert trial.options["layers"] == 1
        assert trial.lr == spec_of(zoo).settings["lr"]
