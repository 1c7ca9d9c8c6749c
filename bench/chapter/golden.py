"""Golden rows: the chapter's notebook replayed and compared with the digits that were printed.

The notebook seeds once and then trains LMModel1 to LMModel7 on the CPU. Three things draw from torch's
generator: the weights of a new model, dropout, and every pass over a fastai DataLoader (one base seed). The
replay therefore keeps the notebook's order, including a pass that only counts targets and a model that is
never trained, and uses fastai's own loaders. Source: fastbook chapter 12.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

import torch
from fastai.callback.rnn import ModelResetter, RNNCallback
from fastai.callback.schedule import Learner  # this import adds fit_one_cycle to Learner
from fastai.data.core import DataLoaders
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.text.learner import TextLearner
from fastai.torch_core import set_seed
from torch import Tensor

from unrolled.bench.chapter import corpus, torch_device
from unrolled.bench.chapter.chapter_trial import ChapterTrial, make_chapter_trial
from unrolled.bench.chapter.models.elman import LMModel2
from unrolled.bench.chapter.models.recurrent import LanguageModel, Output
from unrolled.bench.chapter.models.registry import find_model
from unrolled.bench.chapter.training.learner import ResetEveryBatch
from unrolled.bench.hardware import machine

SEED = 42
NAMES = ("train_loss", "valid_loss", "accuracy")
REFERENCE = {"torch": "2.13.0", "fastai": "2.8.12", "cpu": "AMD EPYC", "cpu_capability": "AVX512"}
"""Beginnings of the facts of a machine on which 12 of 22 rows agree in every digit and 3 in all but the last.

Other machines may round sums in another way: MKL has other orders of summation for Intel's processors.
"""

Numbers = tuple[float, float, float]  # train_loss and valid_loss in nats a token, accuracy
Digits = tuple[str, str, str]  # the same three numbers, as the notebook prints them
Epoch = tuple[str, int, Numbers]  # the model's name in the zoo, the epoch and its numbers


class LMModel4(LMModel2):
    """LMModel4 as in the notebook: a product for each word, which rounds unlike a product for all."""

    def compute_output(self, hidden: Tensor) -> Output:
        """See LanguageModel.compute_output."""
        return Output(torch.stack([self.h_o(h) for h in hidden.unbind(1)], dim=1), hidden, hidden)


# From LMModel4 on, today's notebook prints rows that its own cells, run in their order, do not give. The rows
# below are from prints that can be reproduced: the book's first edition (LMModel4), three public forks of the
# notebook (LMModel5), and public runs of it (LMModel6; LMModel7, of 2026).
_ROWS = """
    lm1 0 1.824297 1.970941 0.467554
    lm1 1 1.386973 1.823242 0.467554
    lm1 2 1.417556 1.654497 0.494414
    lm1 3 1.376440 1.650849 0.494414
    lm2 0 1.816274 1.964143 0.460185
    lm2 1 1.423805 1.739964 0.473259
    lm2 2 1.430327 1.685172 0.485382
    lm2 3 1.388390 1.657033 0.470406
    lm3 0 1.677074 1.827367 0.467548
    lm3 1 1.282722 1.870913 0.388942
    lm3 2 1.090705 1.651793 0.462500
    lm3 3 1.005092 1.613794 0.516587
    lm3 4 0.965975 1.560775 0.551202
    lm3 5 0.916182 1.595857 0.560577
    lm3 6 0.897657 1.539733 0.574279
    lm3 7 0.836274 1.585141 0.583173
    lm3 8 0.805877 1.629808 0.586779
    lm3 9 0.795096 1.651267 0.588942
    lm4 0 3.285931 3.072032 0.212565
    lm5 14 0.630334 2.168205 0.548828
    lm6 0 3.026114 2.772102 0.153076
    lm7 14 0.036659 0.4024 0.882975
"""
PRINTED: dict[str, dict[int, Digits]] = {}  # printed rows by model and epoch
for _model, _epoch, *_digits in map(str.split, _ROWS.strip().splitlines()):
    PRINTED.setdefault(_model, {})[int(_epoch)] = (_digits[0], _digits[1], _digits[2])


def play_notebook() -> Iterator[Epoch]:
    """Train the notebook's models in its order; yield every epoch of each.

    Seeds and draws from the global generators. All seven take about a minute and a half on one core.
    """
    torch_device.make_deterministic()
    set_seed(SEED)
    for name in PRINTED:
        trial = make_chapter_trial(name, SEED)
        if name in ("lm1", "lm3", "lm4"):  # the other models read the same windows as the model before them
            dls = make_loaders(trial)
        if name == "lm2":
            list(dls.valid)  # the notebook counts the validation targets here, which draws a base seed
        if name == "lm7":
            build_book_model(trial, dropout=0.5)  # the notebook never trains its first LMModel7
        learn = make_learner(trial, dls)
        with learn.no_bar(), learn.no_logging():
            learn.fit_one_cycle(trial.epochs, trial.lr, wd=trial.wd)
        for epoch, values in enumerate(learn.recorder.values):
            train_loss, valid_loss, share = values
            yield name, epoch, (train_loss, valid_loss, share)


def make_loaders(trial: ChapterTrial) -> DataLoaders:
    """Return fastai's loaders over the trial's windows, on the CPU, in the notebook's order."""
    splits = corpus.make_batches(trial, corpus.load_corpus(trial))
    sets = [
        list(zip(split.all_inputs[split.window_order], split.all_targets[split.window_order], strict=True))
        for split in splits
    ]
    return DataLoaders.from_dsets(*sets, bs=trial.batch, shuffle=False, num_workers=0, device="cpu")


def build_book_model(trial: ChapterTrial, **changes: float) -> LanguageModel:
    """Return the trial's model, with weights drawn from torch's global generator in its present state."""
    vocab = len(corpus.load_corpus(trial).vocab)
    build: Callable[..., LanguageModel] = (
        LMModel4 if trial.model == "lm4" else find_model(trial.model).build_model
    )
    model = build(vocab, **{**trial.options, **changes})
    model.target = trial.target
    return model


def make_learner(trial: ChapterTrial, dls: DataLoaders) -> Learner:
    """Return the notebook's Learner: for LMModel7 a TextLearner, which adds AR, TAR and its own momentum."""
    arguments = {"loss_func": CrossEntropyLossFlat(), "metrics": accuracy}
    if trial.model == "lm7":
        return TextLearner(
            dls, build_book_model(trial), alpha=trial.alpha, beta=trial.beta, moms=trial.moms, **arguments
        )
    reset = ResetEveryBatch() if trial.reset == "batch" else ModelResetter()
    return Learner(dls, build_book_model(trial), cbs=[reset, RNNCallback()], **arguments)


def count_equal_decimals(printed: str, our_number: float) -> int:
    """Return how many decimals of a printed number agree with ours, rounded to as many as were printed.

    n decimals agree when the two numbers differ by at most half a unit of the n-th decimal.
    """
    if not math.isfinite(our_number):
        return 0
    decimals = _count_decimals(printed)
    distance = abs(Decimal(printed) - Decimal(f"{our_number:.{decimals}f}"))
    return next((n for n in range(decimals, 0, -1) if distance <= Decimal(1).scaleb(-n) / 2), 0)


def count_wrong_decimals(printed: Digits, our_numbers: Numbers) -> int:
    """Return the largest number of decimals that are wrong in one number: 1 if only last digits differ."""
    return max(
        _count_decimals(text) - count_equal_decimals(text, number)
        for text, number in zip(printed, our_numbers, strict=True)
    )


def describe_machine_differences() -> list[str]:
    """Return the differences of this machine from the reference."""
    torch_device.make_deterministic()
    facts = machine.read_machine_facts()
    values = {**facts["packages"], "cpu": facts["cpu"], "cpu_capability": facts["cpu_capability"]}
    return [
        f"{name.replace('_', ' ')} {values[name]} instead of {value}"
        for name, value in REFERENCE.items()
        if not f"{values[name]} ".replace("+", " ").startswith(f"{value} ")
    ]


def tabulate_rows(epochs: Iterable[Epoch], machine_differences: Sequence[str]) -> Iterator[str]:
    """Yield a line for each printed row beside ours, as it is trained, then how far all agree."""
    yield "printed → ours, and how many decimals agree (= is every digit)"
    yield f"{'model':<10}{'epoch':>5}  " + "".join(f"{name:<25}" for name in NAMES).rstrip()
    wrong_decimals = {}
    for model, epoch, our_numbers in epochs:
        if printed := PRINTED[model].get(epoch):
            wrong_decimals[model, epoch] = count_wrong_decimals(printed, our_numbers)
            cells = "".join(_format_cells(printed, our_numbers)).rstrip()
            yield f"{find_model(model).title:<10}{epoch:>5}  {cells}"
    if machine_differences:
        facts = ", ".join(machine_differences)
        yield f"This machine has {facts}: sums may round in another way, and digits differ."
    yield from ("", *_summarise_rows(wrong_decimals))


def _format_cells(printed: Digits, our_numbers: Numbers) -> Iterator[str]:
    """Yield each printed number with ours and how many decimals agree: "1.824297 → 1.824301 4"."""
    for text, number in zip(printed, our_numbers, strict=True):
        decimals = _count_decimals(text)
        agree = count_equal_decimals(text, number)
        yield f"{text} → {number:.{decimals}f} {'=' if agree == decimals else agree}".ljust(25)


def _summarise_rows(wrong_decimals: Mapping[tuple[str, int], int]) -> Iterator[str]:
    """Yield sentences on how far rows agree. `wrong_decimals` are their numbers by model and epoch."""
    counts = Counter(wrong_decimals.values())
    exact = f"{counts[0]} of {len(wrong_decimals)} printed rows come out in every digit"
    yield f"{exact}, {counts[1]} more in all but a last digit."
    first_off: dict[str, int] = {}
    for (model, epoch), decimals in wrong_decimals.items():
        if decimals > 1:
            first_off.setdefault(find_model(model).title, epoch)
    if first_off:
        names = ", ".join(f"{title} at epoch {epoch}" for title, epoch in first_off.items())
        yield f"Rounding takes over in {names}."


def _count_decimals(printed: str) -> int:
    return len(printed.partition(".")[2])
