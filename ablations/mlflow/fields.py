"""The fields of a trial's run: a result's parameters, tags, metrics and data set. Imports no mlflow.

Source of the limits: mlflow/utils/validation.py, 3.17.2.
"""

import functools
import hashlib
import json
import math
import posixpath
import re
from collections.abc import Iterable, Mapping

from unrolled.bench.hardware.machine_kind import find_machine_kind
from unrolled.bench.metric import HELD_OUT_SPLITS
from unrolled.bench.mlflow_metrics import CurvePoint
from unrolled.bench.phrases import describe_witness
from unrolled.bench.trial import Result, Trial

PARAM_LENGTH = 6000  # characters; MLflow cuts longer ones in silence
TAG_LENGTH = 8000
NAME_LENGTH = 250  # longest names of runs and of keys
DIGEST_LENGTH = 8  # length of MLflow's own digests; longer ones do not fit into the column

MACHINE = "machine."  # prefix of the tags that describe the kind of machine

_HELD_OUT = re.compile(f"^({'|'.join(HELD_OUT_SPLITS)})_")

Point = tuple[str, float, int, int]  # name, value, unix milliseconds, step


def make_metric_points(
    curves: Iterable[CurvePoint], numbers: Mapping[str, float], started: float, ended: float
) -> list[Point]:
    """Return the curves' points, each curve ending with its final value.

    `started` and `ended` are unix seconds. Points of held-out data come first, because MLflow lists metrics
    in the order of their points. A value without a curve has step 0, which MLflow draws as a bar.
    """
    values: dict[tuple[str, int], tuple[float, int]] = {}
    for point in curves:
        time = to_milliseconds(started + point.elapsed)
        values[make_metric_key(point.metric), round(point.step)] = point.value, time
    last_steps = dict(sorted(values))
    for name, value in numbers.items():
        key = make_metric_key(name)
        values[key, last_steps.get(key, 0)] = value, to_milliseconds(ended)
    points = [(name, value, time, step) for (name, step), (value, time) in values.items()]
    return sorted(points, key=lambda point: "/" not in point[0])


def describe_dataset(trial: Trial) -> dict[str, str]:
    """Return the data that a trial learns from, for MLflow's column of data sets; {} if there is no hash."""
    if not trial.data:
        return {}
    profile = {key: value for key, value in trial.task.items() if key != "data"}
    return {
        "name": fit_text(trial.data_name, NAME_LENGTH),
        "digest": trial.data[:DIGEST_LENGTH],
        "source_type": "local",
        "source": json.dumps({"sha256": trial.data}),
        "profile": json.dumps(profile),
    }


def make_trial_tags(result: Result) -> dict[str, str]:
    """Return a trial's identity, failure, fingerprints and witnesses."""
    return {
        "unrolled.trial": result.trial.id,
        "unrolled.data": result.trial.data,
        "unrolled.task": " ".join(result.trial.task),
        "unrolled.attempts": str(result.attempts),
        "unrolled.commit": str(result.provenance.get("commit") or ""),
        "unrolled.status": result.status,
        "unrolled.reason": result.reason,
        **{f"{MACHINE}{name}": value for name, value in find_machine_kind(result.provenance).items()},
        **{f"fingerprint.{name}": fingerprint for name, fingerprint in result.fingerprints.items()},
        **{
            f"witness.{setting}": describe_witness(setting, witness)
            for setting, witness in result.witnesses.items()
        },
    }


@functools.lru_cache(4096)  # the same few names recur in every epoch of every trial
def make_metric_key(name: str) -> str:
    """Return a metric's key: valid_loss → valid/loss.

    Names of held-out data have a section before the slash, and MLflow's pages show sections before other
    names.
    """
    return to_key(_HELD_OUT.sub(r"\1/", name))


def round_number(x: float) -> float:
    """Return a number as a table shows it: 0.1234567 → 0.12346, 1234567.8 → 1234568."""
    if not math.isfinite(x) or x.is_integer():
        return x
    return float(f"{x:.5g}") if abs(x) < 1e5 else float(round(x))


def to_key(name: str) -> str:
    """Return a name that MLflow takes as a key: "lr" → "lr", "a:b" → "a_b-6783a31e".

    A name that is changed ends in a hash, so that no two names become one.
    """
    clean = posixpath.normpath(re.sub(r"[^/\w.\- ]", "_", name)).lstrip("/.") or "unnamed"
    if clean == name and len(name) <= NAME_LENGTH:
        return name
    return f"{clean[:200].rstrip('/')}-{hash_value(name)[:8]}"


def fit_text(value: str, longest: int) -> str:
    """Return a text that every database takes: no NUL, no lone surrogate, and cut with a visible mark."""
    value = value.replace("\0", "␀").encode(errors="backslashreplace").decode()
    if len(value) <= longest:
        return value
    mark = f" … [cut: {len(value):,} characters, sha256 {hash_value(value)}]"
    return value[: longest - len(mark)] + mark


def hash_value(value: str) -> str:
    """Return the SHA-256 of a text, 64 hex digits."""
    return hashlib.sha256(value.encode(errors="backslashreplace")).hexdigest()


def to_milliseconds(seconds: float) -> int:
    """Return unix milliseconds, at least 1: MLflow takes 0 for "now"."""
    return max(1, round(seconds * 1000)) if math.isfinite(seconds) else 1
