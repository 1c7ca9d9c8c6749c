"""Printed rows: fastbook chapter 12 (`12_nlp_dive`), the tables under LMModel1, LMModel2 and LMModel3."""

from contextlib import contextmanager

import pytest
import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.learner import Recorder, defaults

from unrolled.bench.chapter import golden
from unrolled.bench.chapter.chapter_trial import make_chapter_trial
from unrolled.bench.chapter.models.registry import find_model
from unrolled.bench.hardware import machine

TARGETS = {"lm1": 4207, "lm2": 4207, "lm3": 4160}  # in the validation set; 12,288 from LMModel4 on
UNLIKE = golden.describe_machine_differences()
EPOCHS = {"lm1": 4, "lm2": 4, "lm3": 10, "lm4": 15, "lm5": 15, "lm6": 15, "lm7": 15}
LAST_EPOCHS = {"lm1": 3, "lm2": 3, "lm3": 3, "lm4": 0, "lm5": 14, "lm6": 0, "lm7": 14}
"""After which rounding has taken over, or nothing is printed."""
on_the_reference = pytest.mark.skipif(
    bool(UNLIKE), reason=f"digits are only promised on the reference: {UNLIKE}"
)


class EndEarly(Callback):
    """Ends each training after an epoch of its own, whose rate is that of the whole cycle.

    The generator is then as after the whole training, of which each epoch draws for two loaders; but not
    after the last model's, which drops out.
    """

    order = Recorder.order + 1  # once the epoch's row is kept

    def __init__(self, last_epochs):
        self.last_epochs = last_epochs
        self.planned_epochs = []

    def before_fit(self):
        self.planned_epochs.append(self.n_epoch)
        self.last_epoch = self.last_epochs[len(self.planned_epochs) - 1]

    def after_epoch(self):
        if self.epoch == self.last_epoch:
            raise CancelFitException

    def after_fit(self):
        for _ in range(2 * (self.n_epoch - 1 - self.last_epoch)):
            torch.empty((), dtype=torch.int64).random_()


@contextmanager
def ending_early(last_epochs):
    """End each training of the block after its epoch; yield how many epochs each was to have."""
    callback = EndEarly(last_epochs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(defaults, "callbacks", [*defaults.callbacks, callback])
        yield callback.planned_epochs


@pytest.fixture(scope="module")
def recorded_rows():
    """Return the numbers of each epoch of the notebook's training that is compared, by model and epoch."""
    with ending_early([*LAST_EPOCHS.values()]) as planned_epochs:
        rows = {(model, epoch): numbers for model, epoch, numbers in golden.play_notebook()}
    assert planned_epochs == [*EPOCHS.values()]
    return rows


@pytest.fixture(scope="module")
def wrong_decimals(recorded_rows):
    """Return the decimals of each printed row that do not agree."""
    return {
        (model, epoch): golden.count_wrong_decimals(golden.PRINTED[model][epoch], numbers)
        for (model, epoch), numbers in recorded_rows.items()
        if epoch in golden.PRINTED[model]
    }


@on_the_reference
def test_lm1_and_lm2_come_out_digit_for_digit(wrong_decimals):
    rows = [("lm1", 0), ("lm1", 3), ("lm2", 0), ("lm2", 3)]
    assert [wrong_decimals[key] for key in rows] == [0] * 4
    assert max(places for (model, _), places in wrong_decimals.items() if model in ("lm1", "lm2")) <= 1


@on_the_reference
@pytest.mark.slow
def test_the_other_models_come_out_digit_for_digit_until_rounding_takes_over(wrong_decimals):
    rows = [("lm3", 0), ("lm3", 1), ("lm3", 2), ("lm4", 0), ("lm5", 14), ("lm7", 14)]
    assert [wrong_decimals[key] for key in rows] == [0] * 6
    assert wrong_decimals["lm3", 3] > 1
    assert wrong_decimals["lm6", 0] <= 1  # of 2.772102, the last digit is rounding's


@pytest.mark.slow
def test_the_notebook_written_a_second_time_gives_the_same_bits(recorded_rows):
    """So what differs from print is rounding."""
    from tests.helpers import peers  # which has nothing of ours but the text

    with ending_early([0] * len(EPOCHS)) as planned_epochs:
        first_rows = dict(peers.replay(golden.SEED))
    assert planned_epochs == [*EPOCHS.values()]
    assert first_rows == {key: numbers for key, numbers in recorded_rows.items() if key[1] == 0}


def test_a_printed_accuracy_is_a_whole_number_of_hits():
    for model, rows in golden.PRINTED.items():
        for printed in rows.values():
            hits = float(printed[2]) * TARGETS.get(model, 12288)
            assert abs(hits - round(hits)) < 0.01, (model, printed)  # six decimals of 12,288 leave 0.006


@pytest.mark.parametrize(
    ("printed", "recomputed", "agree"),
    [
        ("1.654497", 1.6544974, 6),
        ("1.654497", 1.6544977, 5),  # 1.654498: one unit of the last decimal
        ("1.005092", 1.005216, 3),
        ("1.000000", 0.9999996, 6),
        ("1.000000", 0.999999, 5),  # no digit in common, and yet near
        ("0.4024", 0.402447, 4),
        ("1.539733", 2.630809, 0),
        ("0.500000", float("nan"), 0),
        ("0.500000", float("inf"), 0),
    ],
)
def test_decimals_agree_as_far_as_half_a_unit(printed, recomputed, agree):
    assert golden.count_equal_decimals(printed, recomputed) == agree


def test_lm4_in_the_notebooks_form_is_the_zoos_lm4_up_to_rounding():
    trial = make_chapter_trial("lm4", golden.SEED)
    torch.manual_seed(0)
    book = golden.build_book_model(trial)
    torch.manual_seed(0)
    zoo = find_model("lm4").build_model(30)
    assert type(book) is not type(zoo)
    tokens = torch.arange(64 * 16).view(64, 16) % 30
    torch.testing.assert_close(book(tokens).logits, zoo(tokens).logits)


def test_text_learner_honours_the_chapters_settings():
    """fastai 2.2.0 to 2.8.3 dropped alpha and beta without a word (fastai #3605)."""
    trial = make_chapter_trial("lm7", golden.SEED)
    learn = golden.make_learner(trial, golden.make_loaders(trial))
    assert (learn.rnn_regularizer.alpha, learn.rnn_regularizer.beta) == (2, 1)
    assert learn.moms == (0.8, 0.7, 0.8)
    assert (learn.model.drop.p, learn.model.h_o.weight is learn.model.i_h.weight) == (0.4, True)


def test_another_torch_or_processor_is_named(monkeypatch):
    real = machine.read_machine_facts()
    facts = {**real, "packages": {**real["packages"], "torch": "2.9.1+cpu"}, "cpu_capability": "AVX2"}
    facts["cpu"] = "Intel(R) Xeon(R) Processor"
    monkeypatch.setattr(machine, "read_machine_facts", lambda: facts)
    unlike = golden.describe_machine_differences()
    differences = ["torch 2.9.1+cpu instead of 2.13.0", "cpu capability AVX2 instead of AVX512"]
    assert {*differences, "cpu Intel(R) Xeon(R) Processor instead of AMD EPYC"} <= set(unlike)
    assert any("torch 2.9.1+cpu instead of 2.13.0" in line for line in golden.tabulate_rows([], unlike))


def test_the_table_shows_how_many_decimals_agree_and_where_rounding_takes_over():
    epochs = [
        ("lm3", 2, (1.0907049, 1.6517934, 0.4625)),
        ("lm3", 3, (1.0052156, 1.6159903, 0.5151442)),
        ("lm4", 0, (3.2859306, 3.0720317, 0.2125651)),
        ("lm4", 1, (2.3303714, 1.9695220, 0.4257813)),
        ("lm6", 0, (3.0261135, 2.7721014, 0.1530762)),
    ]
    assert list(golden.tabulate_rows(epochs, []))[2:] == [
        "LMModel3      2  1.090705 → 1.090705 =    1.651793 → 1.651793 =    0.462500 → 0.462500 =",
        "LMModel3      3  1.005092 → 1.005216 3    1.613794 → 1.615990 2    0.516587 → 0.515144 2",
        "LMModel4      0  3.285931 → 3.285931 =    3.072032 → 3.072032 =    0.212565 → 0.212565 =",
        "LMModel6      0  3.026114 → 3.026114 =    2.772102 → 2.772101 5    0.153076 → 0.153076 =",
        "",
        "2 of 4 printed rows come out in every digit, 1 more in all but a last digit.",
        "Rounding takes over in LMModel3 at epoch 3.",
    ]
