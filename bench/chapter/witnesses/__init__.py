"""Witnesses are manipulation checks: proofs from the trial itself that each ablated factor took effect.

An arm whose factor left no trace is a dead toggle, not "no effect" (fastai 2.2.0 to 2.8.3 ignored alpha and
beta in silence: fastai issue 3605). A test holds that every setting of a Trial and every option of the zoo
has a witness in one of the tables here, or a reason to need none.
"""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from unrolled.bench.chapter.models.registry import spec_of
from unrolled.bench.chapter.models.spec import active_penalties
from unrolled.bench.chapter.witnesses import data, model, training
from unrolled.bench.chapter.witnesses.context import (
    DataWitnessInput,
    Witness,
    WitnessInput,
    all_are,
    equal,
    near,
    penalty,
)
from unrolled.bench.chapter.witnesses.observer import BatchRecorder

__all__ = ["BatchRecorder", "DataWitnessInput", "Witness", "WitnessInput", "count_witnesses", "witnesses"]

DATA: Mapping[str, Callable[[DataWitnessInput], Witness]] = {
    "tokens": data.tokens,
    "vocab": data.vocab,
    "split": data.split,
    "stride": data.stride,
}

TRAINING: Mapping[str, Callable[[WitnessInput], Witness | None]] = {
    "window": lambda case: all_are(case.trial.window, case.recorder.widths),
    "batch": lambda case: all_are(case.trial.batch, {rows for rows, _ in case.recorder.shapes}),
    "epochs": lambda case: equal(case.trial.epochs, len(case.record.epochs)),
    "order": training.order,
    "target": training.target,
    "reset": training.reset,
    "lr": training.lr,
    "moms": training.moms,
    "wd": lambda case: near(case.trial.wd, case.record.wd, 0.0),
    "clip": training.clip,
    "alpha": lambda case: penalty(case.trial.alpha, sum(e.ar for e in case.record.epochs)),
    "beta": lambda case: penalty(case.trial.beta, sum(e.tar for e in case.record.epochs)),
    "detach_every": training.detach_every,
}

MODEL: Mapping[str, Callable[[WitnessInput], Witness]] = {
    "hidden": model.hidden,
    "embedding": lambda case: equal(
        case.trial.options["embedding"], case.fresh.embed(case.train.inputs[:1]).shape[-1]
    ),
    "layers": model.layers,
    "nonlinearity": model.nonlinearity,
    "form": model.form,
    "init": model.init,
    "tying": lambda case: equal(
        case.trial.options["tying"],
        case.model.get_parameter("h_o.weight") is case.model.get_parameter("i_h.weight"),
    ),
    "dropout": partial(model.dropout, "dropout", "drop"),
    "embed_p": model.embed_p,
    "input_p": partial(model.dropout, "input_p", "input_dropout"),
    "weight_p": model.weight_p,
    "hidden_p": partial(model.dropout, "hidden_p", "hidden_dropout"),
    "output_p": partial(model.dropout, "output_p", "output_dropout"),
}

PROMISED = ("tying", "dropout")
"""Options whose witness serves a user's own model too: the check of the first batch looks for their parts."""


def witnesses(case: WitnessInput) -> dict[str, Witness]:
    """The witnesses of every factor that a trained model has. The random generators keep their state.

    Those of the training come last, since that of `detach_every` changes the fresh model.
    """
    options, steps = case.trial.options, len(case.record.losses)
    known = PROMISED if spec_of(case.trial.model).file else tuple(MODEL)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        of_model = {name: MODEL[name](case) for name in known if name in options}
        own = {
            name: penalty(strength, case.record.penalties.get(name, 0.0) / steps)
            for name, strength in active_penalties(options).items()
        }
        of_data = {name: witness(case) for name, witness in DATA.items()}
        of_training = {name: witness(case) for name, witness in TRAINING.items()}
    return of_data | {name: w for name, w in of_training.items() if w} | of_model | own


def count_witnesses(case: DataWitnessInput, logits: Tensor) -> dict[str, Witness]:
    """The witnesses of a counting baseline: of the data, and of how many tokens it reads.

    `logits` (targets, vocab) are its predictions on the validation set.
    """
    found = {name: witness(case) for name, witness in DATA.items()}
    if "context" in case.trial.options:
        found["context"] = data.context(case, logits)
    return found
