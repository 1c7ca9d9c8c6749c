"""One trial from its settings to its result, in whatever process it is called in.

`bench.chapter.metric_table` has a row for each metric that is shown or is a cost. `bench.trial.Result` lists
the records.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from unrolled.bench.chapter import torch_device
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.chapter.corpus import Batches, Corpus
from unrolled.bench.chapter.diagnostics import fingerprint_metrics, fingerprint_tensors, generate_tokens
from unrolled.bench.chapter.metrics import Evaluation, count_training_flops
from unrolled.bench.chapter.models.recurrent import LanguageModel
from unrolled.bench.chapter.models.registry import find_model
from unrolled.bench.chapter.models.spec import PLUGIN_PENALTIES
from unrolled.bench.chapter.torch_device import read_gpu_memory
from unrolled.bench.chapter.training import train as training
from unrolled.bench.chapter.training.record import Diverged, TrainingRecord
from unrolled.bench.chapter.witnesses.observer import BatchRecorder
from unrolled.bench.chapter.witnesses.witness import DataWitnessInput, WitnessInput
from unrolled.bench.chapter.witnesses.witness_tables import collect_counting_witnesses, collect_witnesses
from unrolled.bench.errors import require
from unrolled.bench.hardware import machine
from unrolled.bench.hardware.machine_kind import FACTS
from unrolled.bench.trial import Result, make_failed_result

PASSAGE = 60  # tokens of the validation set that a result shows with the model's guesses
CONTINUATION = 30  # tokens that the model writes after the passage


def run_trial(trial: ChapterTrial) -> Result:
    """Train and evaluate. Divergence is a Result; a mistake of the user raises BadInput.

    Seeding comes first, then the data, then the model. Initial weights, the order of the data and dropout
    draw from separate streams, so that arms of one seed stay paired.
    """
    start = time.perf_counter()
    torch_device.make_deterministic()
    torch_device.select_device(trial.device)  # rejects the device by name before torch reads a GPU's facts
    measure = fit_counts_and_measure if find_model(trial.model).is_counting_model else train_and_measure
    with check_machine_unchanged(trial.device) as machine_facts:
        try:
            measured, resumed_seconds = measure(trial, *training.load_data(trial))
        except Diverged as error:
            return make_failed_result(trial, str(error), status="diverged", provenance=machine_facts)
    seconds = time.perf_counter() - start + resumed_seconds
    measured["metrics"] |= {"seconds": seconds, "memory_peak": machine.measure_memory_peak()}
    status = "diverged" if measured.get("reason") else "done"
    return Result(trial=trial, status=status, provenance=machine_facts, **measured)


@contextmanager
def check_machine_unchanged(device: str) -> Iterator[dict[str, Any]]:
    """Yield the machine's facts. Raises BadInput if the block changes one, such as the number of threads."""
    facts = machine.read_machine_facts(device)
    yield facts
    later_facts = machine.read_machine_facts(device)
    for name, value in facts.items():
        rule = f"{FACTS.get(name, name)} changed from {value} to {later_facts[name]} while it trained"
        cure = "leave torch's settings and the environment as they are"
        require(later_facts[name] == value, rule, cure=cure)


def train_and_measure(
    trial: ChapterTrial, corpus: Corpus, train: Batches, valid: Batches
) -> tuple[dict[str, Any], float]:
    """Train a model and measure it. Returns fields of a Result, and the seconds of earlier attempts.

    Its field `reason` is "" unless training diverged. The seconds are 0 unless training was resumed. Raises
    Diverged where a training loss is not finite.
    """
    model = training.build_model(trial, len(corpus.vocab))
    recorder = BatchRecorder(model)
    record = training.train_model(trial, model, train, valid)
    metrics = _collect_metrics(trial, model, record, train, valid)  # before witnesses take memory of the GPU
    evidence = WitnessInput(
        trial=trial,
        corpus=corpus,
        train=train,
        valid=valid,
        model=model,
        untrained_model=training.build_model(trial, len(corpus.vocab)),
        record=record,
        recorder=recorder.close(),
    )
    witnesses = collect_witnesses(evidence)
    records = _analyze_errors(trial, corpus, valid, record.validation)
    # this comes last because it changes the state that the model carries
    records["continuation"] = _continue_passage(trial, corpus, valid, model)
    fields = {
        "reason": training.explain_divergence(record, len(corpus.vocab)),
        "curves": record.curves,
        "metrics": metrics,
        "fingerprints": {
            "weights": fingerprint_tensors(dict(model.named_parameters())),
            "metrics": fingerprint_metrics(record),
        },
        "trace": record.trace.to_dict(),
        "witnesses": witnesses,
        "records": records,
    }
    return fields, record.resumed_seconds


def _collect_metrics(
    trial: ChapterTrial, model: LanguageModel, record: TrainingRecord, train: Batches, valid: Batches
) -> dict[str, float]:
    """Return the metrics of a trained model, but for `seconds` and `memory_peak`."""
    last = record.epochs[-1]
    steps = len(record.losses)
    metrics = {
        **record.validation.to_metrics(),
        "train_loss": last.train_loss,
        "train_ar": last.train_ar,
        "train_tar": last.train_tar,
        **{
            f"train_penalty_{name}": total / steps
            for name, total in record.penalties.items()
            if name in PLUGIN_PENALTIES
        },
        "train_updates": steps,
        "train_tokens": train.token_count * trial.epochs,
        **_measure_speeds(record, train, valid),
        "model_parameters": sum(weight.numel() for weight in model.parameters()),
        **read_gpu_memory(torch_device.select_device(trial.device)),
    }
    if not find_model(trial.model).file:  # a plug-in's shapes do not tell how often it uses its weights
        metrics["train_flops"] = count_training_flops(trial, model, steps)
    return {name: float(value) for name, value in metrics.items()}


def _measure_speeds(record: TrainingRecord, train: Batches, valid: Batches) -> dict[str, float]:
    """Return tokens a second, of all epochs; `speed_steady` leaves out the first, which warms up."""
    trained = [epoch.speed_train_seconds for epoch in record.epochs]
    validated = [epoch.speed_valid_seconds for epoch in record.epochs]
    timings = {"train": (train, trained), "valid": (valid, validated), "steady": (train, trained[1:])}
    return {
        f"speed_{name}": split.token_count * len(seconds) / sum(seconds)
        for name, (split, seconds) in timings.items()
        if seconds
    }


def fit_counts_and_measure(
    trial: ChapterTrial, corpus: Corpus, train: Batches, valid: Batches
) -> tuple[dict[str, Any], float]:
    """Fit a counting baseline and measure it. Returns as `train_and_measure` does."""
    logits, evaluation = training.fit_counting_model(trial, corpus, train, valid)
    to_fingerprint = {"weights": {"log_probabilities": logits}, "metrics": {"nats": evaluation.nats[0]}}
    target_count = train.positions[train.window_order].numel()
    fields = {
        "metrics": {**evaluation.to_metrics(), "train_tokens": float(target_count)},
        "witnesses": collect_counting_witnesses(
            DataWitnessInput(trial=trial, corpus=corpus, train=train, valid=valid), logits
        ),
        "fingerprints": {name: fingerprint_tensors(tensors) for name, tensors in to_fingerprint.items()},
        "records": _analyze_errors(trial, corpus, valid, evaluation),
    }
    return fields, 0.0


def _analyze_errors(
    trial: ChapterTrial, corpus: Corpus, valid: Batches, evaluation: Evaluation
) -> dict[str, Any]:
    """Return the records `roles`, `passage` and perhaps `warning`: see `bench.trial.Result`."""
    roles = corpus.roles[valid.positions[valid.window_order].flatten()]
    sums = evaluation.sum_by_role(roles, corpus.role_names)
    records: dict[str, Any] = {"roles": sums, "passage": _describe_passage(trial, corpus, evaluation)}
    guesses = torch.cat(evaluation.guesses).cpu()
    if bool((guesses == guesses[0]).all()) and not find_model(trial.model).is_counting_model:
        records["warning"] = f"always predicts “{corpus.decode(guesses[:1])[0]}”"
    return records


def _describe_passage(trial: ChapterTrial, corpus: Corpus, evaluation: Evaluation) -> list[dict[str, Any]]:
    rows = zip(
        corpus.decode(_take_first_row(trial, torch.cat(evaluation.targets))),
        corpus.decode(_take_first_row(trial, torch.cat(evaluation.guesses))),
        (-_take_first_row(trial, torch.cat(evaluation.nats))).exp().tolist(),
        strict=True,
    )
    return [{"token": token, "guess": guess, "p": round(p, 4)} for token, guess, p in rows]


def _continue_passage(trial: ChapterTrial, corpus: Corpus, valid: Batches, model: LanguageModel) -> list[str]:
    """Return the words that the model writes after the passage, of which it reads the last `window`."""
    end = int(_take_first_row(trial, valid.positions[valid.window_order])[-1]) + 1
    prompt = corpus.ids[max(0, end - trial.window) : end]
    return corpus.decode(generate_tokens(model, prompt, CONTINUATION))


def _take_first_row(trial: ChapterTrial, targets: Tensor) -> Tensor:
    """Return the values of the first row of the batches, from one value a target: (at most PASSAGE,)."""
    windows = targets.view((-1, trial.window) if trial.target == "every" else (-1, 1))
    step = trial.batch if trial.order == "grouped" else 1
    return windows[::step].flatten()[:PASSAGE].cpu()
