"""Witnesses: for each setting, an observation of the trial that shows whether the setting took effect.

If a setting was ignored, its arm is reported as a dead toggle and not as "no effect": fastai 2.2.0 to 2.8.3
silently ignored alpha and beta (fastai issue 3605). Every setting of a ChapterTrial and every option of the
zoo has a witness in one of these tables. A test lists the exceptions with their reasons.
"""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from unrolled.bench.chapter.models.registry import find_model
from unrolled.bench.chapter.models.spec import find_active_penalties
from unrolled.bench.chapter.witnesses import data_witnesses, model_witnesses, training_witnesses
from unrolled.bench.chapter.witnesses.witness import (
    DataWitnessInput,
    Witness,
    WitnessInput,
    witness_all_equal,
    witness_close,
    witness_equal,
    witness_penalty,
)

DATA_WITNESSES: Mapping[str, Callable[[DataWitnessInput], Witness]] = {
    "tokens": data_witnesses.witness_tokens,
    "vocab": data_witnesses.witness_vocab,
    "split": data_witnesses.witness_split,
    "stride": data_witnesses.witness_stride,
}

TRAINING_WITNESSES: Mapping[str, Callable[[WitnessInput], Witness | None]] = {
    "window": lambda evidence: witness_all_equal(evidence.trial.window, evidence.recorder.widths),
    "batch": lambda evidence: witness_all_equal(
        evidence.trial.batch, {rows for rows, _ in evidence.recorder.shapes}
    ),
    "epochs": lambda evidence: witness_equal(evidence.trial.epochs, len(evidence.record.epochs)),
    "order": training_witnesses.witness_order,
    "target": training_witnesses.witness_target,
    "reset": training_witnesses.witness_reset,
    "lr": training_witnesses.witness_lr,
    "moms": training_witnesses.witness_moms,
    "wd": lambda evidence: witness_close(evidence.trial.wd, evidence.record.wd, 0.0),
    "clip": training_witnesses.witness_clip,
    "alpha": lambda evidence: witness_penalty(
        "AR", evidence.trial.alpha, sum(epoch.train_ar for epoch in evidence.record.epochs)
    ),
    "beta": lambda evidence: witness_penalty(
        "TAR", evidence.trial.beta, sum(epoch.train_tar for epoch in evidence.record.epochs)
    ),
    "detach_every": training_witnesses.witness_detach_every,
}

MODEL_WITNESSES: Mapping[str, Callable[[WitnessInput], Witness]] = {
    "hidden": model_witnesses.witness_hidden,
    "embedding": lambda evidence: witness_equal(
        evidence.trial.options["embedding"],
        evidence.untrained_model.embed(evidence.train.all_inputs[:1]).shape[-1],
    ),
    "layers": model_witnesses.witness_layers,
    "nonlinearity": model_witnesses.witness_nonlinearity,
    "form": model_witnesses.witness_form,
    "init": model_witnesses.witness_init,
    "tying": lambda evidence: witness_equal(
        evidence.trial.options["tying"],
        evidence.model.get_parameter("h_o.weight") is evidence.model.get_parameter("i_h.weight"),
    ),
    "dropout": partial(model_witnesses.witness_dropout, "dropout", "drop"),
    "embed_p": model_witnesses.witness_embed_p,
    "input_p": partial(model_witnesses.witness_dropout, "input_p", "input_dropout"),
    "weight_p": model_witnesses.witness_weight_p,
    "hidden_p": partial(model_witnesses.witness_dropout, "hidden_p", "hidden_dropout"),
    "output_p": partial(model_witnesses.witness_dropout, "output_p", "output_dropout"),
}

PLUGIN_OPTIONS = ("tying", "dropout")
"""Options that also have a witness in a user's own model. `first_batch` checks that their parts exist."""


def collect_witnesses(evidence: WitnessInput) -> dict[str, Witness]:
    """Return the witnesses of every setting of a trained model. The random generators keep their state.

    The witnesses of the training come last, because the witness of `detach_every` changes the untrained
    model.
    """
    options = evidence.trial.options
    steps = len(evidence.record.losses)
    witnessed_options = PLUGIN_OPTIONS if find_model(evidence.trial.model).file else tuple(MODEL_WITNESSES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        of_model = {name: MODEL_WITNESSES[name](evidence) for name in witnessed_options if name in options}
        of_penalties = {
            name: witness_penalty(name, strength, evidence.record.penalties.get(name, 0.0) / steps)
            for name, strength in find_active_penalties(options).items()
        }
        of_data = {name: check(evidence) for name, check in DATA_WITNESSES.items()}
        of_training = {name: check(evidence) for name, check in TRAINING_WITNESSES.items()}
    of_training_present = {name: witness for name, witness in of_training.items() if witness}
    return of_data | of_training_present | of_model | of_penalties


def collect_counting_witnesses(evidence: DataWitnessInput, logits: Tensor) -> dict[str, Witness]:
    """Return the witnesses of a counting baseline: for its data, and for how many tokens it reads.

    `logits` (targets, vocab) are its predictions on the validation set.
    """
    witnesses = {name: check(evidence) for name, check in DATA_WITNESSES.items()}
    if "context" in evidence.trial.options:
        witnesses["context"] = data_witnesses.witness_context(evidence, logits)
    return witnesses
