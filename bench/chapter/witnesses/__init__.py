"""Witnesses are manipulation checks: proofs from the trial itself that each ablated setting took effect.

An arm whose setting left no trace is a dead toggle, not "no effect" (fastai 2.2.0 to 2.8.3 silently ignored
alpha and beta: fastai issue 3605). Every setting of a Trial and every option of the zoo has a witness in one
of these tables, or a reason why it needs none, which a test names.
"""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from unrolled.bench.chapter.models.registry import spec_of
from unrolled.bench.chapter.models.spec import active_penalties
from unrolled.bench.chapter.witnesses import data, model, training
from unrolled.bench.chapter.witnesses.types import (
    DataWitnessInput,
    Witness,
    WitnessInput,
    witness_all_equal,
    witness_close,
    witness_equal,
    witness_penalty,
)

DATA_WITNESSES: Mapping[str, Callable[[DataWitnessInput], Witness]] = {
    "tokens": data.witness_tokens,
    "vocab": data.witness_vocab,
    "split": data.witness_split,
    "stride": data.witness_stride,
}

TRAINING_WITNESSES: Mapping[str, Callable[[WitnessInput], Witness | None]] = {
    "window": lambda case: witness_all_equal(case.trial.window, case.recorder.widths),
    "batch": lambda case: witness_all_equal(case.trial.batch, {rows for rows, _ in case.recorder.shapes}),
    "epochs": lambda case: witness_equal(case.trial.epochs, len(case.record.epochs)),
    "order": training.witness_order,
    "target": training.witness_target,
    "reset": training.witness_reset,
    "lr": training.witness_lr,
    "moms": training.witness_moms,
    "wd": lambda case: witness_close(case.trial.wd, case.record.wd, 0.0),
    "clip": training.witness_clip,
    "alpha": lambda case: witness_penalty(
        "AR", case.trial.alpha, sum(epoch.ar for epoch in case.record.epochs)
    ),
    "beta": lambda case: witness_penalty(
        "TAR", case.trial.beta, sum(epoch.tar for epoch in case.record.epochs)
    ),
    "detach_every": training.witness_detach_every,
}

MODEL_WITNESSES: Mapping[str, Callable[[WitnessInput], Witness]] = {
    "hidden": model.witness_hidden,
    "embedding": lambda case: witness_equal(
        case.trial.options["embedding"], case.untrained_model.embed(case.train.inputs[:1]).shape[-1]
    ),
    "layers": model.witness_layers,
    "nonlinearity": model.witness_nonlinearity,
    "form": model.witness_form,
    "init": model.witness_init,
    "tying": lambda case: witness_equal(
        case.trial.options["tying"],
        case.model.get_parameter("h_o.weight") is case.model.get_parameter("i_h.weight"),
    ),
    "dropout": partial(model.witness_dropout, "dropout", "drop"),
    "embed_p": model.witness_embed_p,
    "input_p": partial(model.witness_dropout, "input_p", "input_dropout"),
    "weight_p": model.witness_weight_p,
    "hidden_p": partial(model.witness_dropout, "hidden_p", "hidden_dropout"),
    "output_p": partial(model.witness_dropout, "output_p", "output_dropout"),
}

PLUG_IN_OPTIONS = ("tying", "dropout")
"""Options that are witnessed in a user's own model, too; the first batch is checked for their parts."""


def collect_witnesses(case: WitnessInput) -> dict[str, Witness]:
    """Return the witnesses of every setting of a trained model. The random generators keep their state.

    The witnesses of the training come last, because the witness of `detach_every` changes the untrained
    model.
    """
    options = case.trial.options
    steps = len(case.record.losses)
    witnessed_options = PLUG_IN_OPTIONS if spec_of(case.trial.model).file else tuple(MODEL_WITNESSES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        of_model = {name: MODEL_WITNESSES[name](case) for name in witnessed_options if name in options}
        of_penalties = {
            name: witness_penalty(name, strength, case.record.penalties.get(name, 0.0) / steps)
            for name, strength in active_penalties(options).items()
        }
        of_data = {name: check(case) for name, check in DATA_WITNESSES.items()}
        of_training = {name: check(case) for name, check in TRAINING_WITNESSES.items()}
    of_training_present = {name: witness for name, witness in of_training.items() if witness}
    return of_data | of_training_present | of_model | of_penalties


def collect_counting_witnesses(case: DataWitnessInput, logits: Tensor) -> dict[str, Witness]:
    """Return the witnesses of a counting baseline: for its data, and for how many tokens it reads.

    `logits` (targets, vocab) are its predictions on the validation set.
    """
    witnesses = {name: check(case) for name, check in DATA_WITNESSES.items()}
    if "context" in case.trial.options:
        witnesses["context"] = data.witness_context(case, logits)
    return witnesses
