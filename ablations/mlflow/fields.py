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

from unrolled.bench.machine_kind import kind
from unrolled.bench.tracking import CurvePoint
from unrolled.bench.trial import Result, Scalar, Trial

PARAM_LENGTH = 6000  # characters; MLflow cuts longer ones in silence
TAG_LENGTH = 8000
NAME_LENGTH = 250  # of runs and of keys
DIGEST_LENGTH = 8  # as MLflow makes them: more do not fit into the column

MACHINE = "machine."  # prefix of the tags that describe the kind of machine

Point = tuple[str, float, int, int]  # name, value, unix milliseconds, step


def points(
    curves: Iterable[CurvePoint], numbers: Mapping[str, float], started: float, ended: float
) -> list[Point]:
    """Learning curves, then the final metrics: one that has a curve replaces its last point. Unix seconds.

    A value that is measured once has step 0, which MLflow draws as a bar.
    """
    values: dict[tuple[str, int], tuple[float, int]] = {}
    for point in curves:
        when = milliseconds(started + point.seconds)
        values[metric_key(point.metric), round(point.step)] = point.value, when
    last = dict(sorted(values))  # the last step of each curve
    for name, value in numbers.items():
        values[metric_key(name), last.get(metric_key(name), 0)] = value, milliseconds(ended)
    return [(name, value, when, step) for (name, step), (value, when) in values.items()]


def dataset(trial: Trial) -> dict[str, str]:
    """The data that a trial learns from, as MLflow's column of data sets shows it; {} for an unread one."""
    if not trial.data:
        return {}
    name = text(trial.data_name, NAME_LENGTH)
    about = {key: value for key, value in trial.task.items() if key != "data"}
    source = json.dumps({"sha256": trial.data})
    return {
        "name": name,
        "digest": trial.data[:DIGEST_LENGTH],
        "source_type": "local",
        "source": source,
        "profile": json.dumps(about),
    }


def params(arm: str, result: Result) -> dict[str, Scalar]:
    """Arm, seed and every factor."""
    return {**result.trial.factors(), "arm": arm, "seed": result.trial.seed}


def tags(result: Result) -> dict[str, str]:
    """A trial's identity, failure, fingerprints and witnesses."""
    found = {
        "unrolled.trial": result.trial.id,
        "unrolled.data": result.trial.data,
        "unrolled.task": " ".join(result.trial.task),
        "unrolled.attempts": str(result.attempts),
        "unrolled.commit": str(result.environment.get("commit") or ""),
        "unrolled.status": result.status,
        "unrolled.reason": result.reason,
    }
    found |= {f"{MACHINE}{name}": value for name, value in kind(result.environment).items()}
    found |= {f"fingerprint.{name}": mark for name, mark in result.fingerprints.items()}
    for factor, proof in result.witnesses.items():
        verdict = "ok" if proof.get("ok") else "NOT ok"
        found[f"witness.{factor}"] = f"{verdict}: declared {proof.get('declared')}, seen {proof.get('seen')}"
    return found


@functools.lru_cache(4096)  # the same few names for every epoch of every trial
def metric_key(name: str) -> str:
    """A metric's key with its section before a slash, as the UI groups them: valid_loss → valid/loss."""
    return key(name.replace("_", "/", 1))


def key(name: str) -> str:
    """A name that MLflow takes as a key. A changed one ends in a hash, so that no two become one."""
    clean = posixpath.normpath(re.sub(r"[^/\w.\- ]", "_", name)).lstrip("/.") or "unnamed"
    if clean == name and len(name) <= NAME_LENGTH:
        return name
    return f"{clean[:200].rstrip('/')}-{digest(name)[:8]}"


def text(value: str, longest: int) -> str:
    """A value that every database takes: no NUL, no lone surrogate; cut visibly, with its hash."""
    value = value.replace("\0", "␀").encode(errors="backslashreplace").decode()
    if len(value) <= longest:
        return value
    mark = f" … [cut: {len(value):,} characters, sha256 {digest(value)}]"
    return value[: longest - len(mark)] + mark


def digest(value: str) -> str:
    """SHA-256 of a text, 64 hex digits."""
    return hashlib.sha256(value.encode(errors="backslashreplace")).hexdigest()


def milliseconds(seconds: float) -> int:
    """Unix milliseconds, at least 1: MLflow takes 0 for "now"."""
    return max(1, round(seconds * 1000)) if math.isfinite(seconds) else 1
