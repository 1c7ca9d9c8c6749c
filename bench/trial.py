"""Trial and Result: the settings of a training and its outcome. Frozen data, canonical JSON, identity.

Nothing here imports torch, so that planning, reading results and reporting stay light.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

FORMAT = 6
"""Version of the trial and result format; part of every identity."""

Scalar = bool | int | float | str


@dataclass(frozen=True)
class Setting:
    """The meaning, title and allowed values of a setting. Its type is the type of its default."""

    about: str
    title: str = ""  # by default its name
    choices: tuple[str, ...] = ()
    names: Mapping[Any, str] = field(default_factory=dict)  # of single values
    low: float | None = None  # least value, or length of a string
    above: float | None = None
    below: float | None = None


def setting(default: Any, about: str, **rules: Any) -> Any:
    """A field of Trial that a study may set; `rules` are the further fields of Setting."""
    return field(default=default, metadata={"setting": Setting(about, **rules)})


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One arm and one seed: everything that decides the numbers.

    `options` are the model's own keywords (hidden, layers, dropout, tying …); everything else is the
    data and the training. `source` and `data` are content hashes of the code and of the text, `versions`
    names the packages that compute ("torch 2.13.0"): see bench.identity.
    """

    model: str
    seed: int
    options: Mapping[str, Scalar] = field(default_factory=dict)
    corpus: str = setting("human-numbers", "human-numbers, bible, or the path of a UTF-8 text file", low=1)
    tokens: str = setting("word", "what a token is", choices=("word", "char"))
    vocab: int = setting(0, "most tokens kept, the rest become <unk>; 0 keeps all")
    split: str = setting(
        "tail",
        "the part that validates: the tail (the chapter's) or random contiguous blocks",
        choices=("tail", "blocks"),
    )
    window: int = setting(16, "bptt: tokens a training step reads from each row", low=1)
    stride: int = setting(0, "tokens between the starts of two windows; 0 means the window")
    batch: int = setting(64, "rows that are read side by side", low=1)
    order: str = setting(
        "grouped",
        "order of the windows; grouped: row j of each batch continues that of the batch before",
        choices=("grouped", "sequential", "shuffled"),
    )
    target: str = setting(
        "every", "predict after every word, or after the last one of a window", choices=("every", "last")
    )
    reset: str = setting("epoch", "when the hidden state is reset", choices=("epoch", "batch", "never"))
    detach_every: int = setting(
        0, "tokens that gradients flow back; 0 means the window", names={0: "detach every window"}
    )
    lr: float = setting(1e-2, "learning rate: the peak of one cycle", above=0)
    epochs: int = setting(15, "passes over the training text", low=1)
    wd: float = setting(0.01, "weight decay", title="weight decay", low=0)
    moms: tuple[float, float, float] = setting(
        (0.95, 0.85, 0.95),
        "momentum at the start, the middle and the end of one cycle",
        title="momentum",
        names={(0.95, 0.85, 0.95): "momentum of LMModel6", (0.8, 0.7, 0.8): "momentum of LMModel7"},
        low=0,
        below=1,
    )
    clip: float = setting(0.0, "largest gradient norm; 0 does not clip", low=0)
    alpha: float = setting(0.0, "strength of activation regularization", title="AR", low=0)
    beta: float = setting(0.0, "strength of temporal activation regularization", title="TAR", low=0)
    engine: str = setting(
        "loop", "loop (plain torch) or learner (fastai, the reference)", choices=("learner", "loop")
    )
    device: str = "cpu"  # cpu | cuda
    source: str = ""
    data: str = ""
    versions: str = ""

    def __post_init__(self) -> None:
        """Equal trials become equal: no detach_every is the window, a stride of the window is 0."""
        object.__setattr__(self, "detach_every", self.detach_every or self.window)
        object.__setattr__(self, "stride", 0 if self.stride == self.window else self.stride)
        object.__setattr__(self, "options", dict(sorted(self.options.items())))
        object.__setattr__(self, "moms", tuple(self.moms))

    @property
    def id(self) -> str:
        """Sixteen hex digits of the content's hash. A corpus counts by its text, not by its path."""
        content = {**self.to_dict(), "format": FORMAT}
        del content["corpus"]
        return hashlib.sha256(canonical(content)).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Every field by its name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def factors(self) -> dict[str, Scalar]:
        """Every setting by its flat name, the seed apart, as tables and MLflow show it."""
        flat: dict[str, Scalar] = {}
        for name, value in self.to_dict().items():
            if name == "moms":
                flat[name] = ",".join(f"{m:g}" for m in value)
            elif name not in ("seed", "options", *DERIVED):
                flat[name] = value
        return {**flat, **self.options}


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """One line of a learning curve. Losses are nats a token, without penalties."""

    epoch: int
    train_loss: float  # debiased moving average (.98), as fastai prints it
    ar: float  # mean penalty a step
    tar: float
    valid_loss: float
    accuracy: float
    train_seconds: float
    valid_seconds: float


DETAILS = ("epochs", "passage", "trace", "usage", "output")
"""Fields of Result by which no arms are compared: the ledger keeps them in a file of their own."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of one trial. Divergence and failure are results too: `status`, and the reason.

    `metrics` names begin with their section: valid_loss, valid_accuracy, valid_perplexity, valid_bits,
    valid_hits, valid_targets; train_loss, train_ar, train_tar, train_updates, train_tokens, train_flops
    (see bench.chapter.flops); speed_train and speed_valid (tokens/s of all epochs), speed_steady (of training
    in the epochs after the first, which is slowed by warming up; absent where there is one); seconds (see
    `spent`); memory_peak (MiB); model_parameters; on a GPU gpu_memory_peak (MiB of torch's tensors).
    `roles` maps a token role to (nats, hits, targets) on the validation set.
    `witnesses` maps a factor to {"ok": bool, "declared": …, "seen": …}: the proof that it took effect.
    `passage` is one decoded validation stretch: {"token": …, "guess": …, "p": probability of the token}.
    `usage` has samples of a long trial: "seconds" since its start, "cpu" (% of a core), "memory" (MiB) and,
    of the whole device, "gpu" (%) and "gpu_memory" (MiB). Added to the format without a new version.
    """

    trial: Trial
    status: str  # done | diverged | failed
    reason: str = ""
    attempts: int = 1
    started: float = 0.0  # unix seconds
    seconds: float = 0.0  # by a monotonic clock, everything in the trial's process: its last attempt
    epochs: tuple[Epoch, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    roles: Mapping[str, tuple[float, int, int]] = field(default_factory=dict)
    witnesses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    passage: tuple[Mapping[str, Any], ...] = ()
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    trace: Mapping[str, Any] = field(default_factory=dict)  # see bench.chapter.training.engine.Trace
    environment: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    output: str = ""  # the end of what a failed trial printed

    @property
    def done(self) -> bool:
        """Whether the training finished, so that its numbers may be used."""
        return self.status == "done"

    @property
    def diverged(self) -> bool:
        """Whether the training diverged. That is a result: a diverged seed counts as an infinite loss."""
        return self.status == "diverged"

    @property
    def spent(self) -> float:
        """Seconds of all attempts whose epochs are part of this result."""
        return max(self.seconds, self.metrics.get("seconds", 0.0))

    @property
    def trouble(self) -> str:
        """The reason of a trial that is not done; a divergence is a result, anything else a failure."""
        return self.reason if self.diverged else f"FAILED: {self.reason}"

    def without_details(self) -> Self:
        """The same result with every field of DETAILS empty."""
        return replace(self, epochs=(), passage=(), trace={}, usage={}, output="")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `canonical`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote; DETAILS may be left out. Raises TypeError or KeyError for other data."""
        data = dict(data)
        data["trial"] = Trial(**data["trial"])
        data["epochs"] = tuple(Epoch(**_floats(Epoch, e)) for e in data.get("epochs", ()))
        data["metrics"] = {k: float(v) for k, v in data["metrics"].items()}
        data["roles"] = {k: (float(n), int(h), int(c)) for k, (n, h, c) in data["roles"].items()}
        data["passage"] = tuple(data.get("passage", ()))
        data["usage"] = {k: tuple(map(float, v)) for k, v in data.get("usage", {}).items()}
        return cls(**data)


def settings(trial: Trial) -> dict[str, Any]:
    """The settings that a study declares: all fields but those in DERIVED and the text's path."""
    return {key: value for key, value in trial.to_dict().items() if key not in ("corpus", *DERIVED)}


STATUSES = ("done", "diverged", "failed")


def failure(trial: Trial, reason: str, *, status: str = "failed", **facts: Any) -> Result:
    """The Result of a trial that is not done, with its reason in one line."""
    return Result(trial=trial, status=status, reason=" ".join(reason.split()), **facts)


def canonical(data: Any) -> bytes:
    """ASCII JSON with sorted keys and no spaces: equal data gives equal bytes.

    Python writes floats so that they read back to the same bits; JSON has no NaN and no infinity, so
    these become the strings "nan", "inf" and "-inf", which `float()` reads.
    """
    return json.dumps(_finite(data), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _finite(data: Any) -> Any:
    if isinstance(data, float) and not math.isfinite(data):
        return str(data)
    if isinstance(data, Mapping):
        return {str(k): _finite(v) for k, v in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(v) for v in data]
    return data


def _floats(cls: type, data: Mapping[str, Any]) -> dict[str, Any]:
    """Turn "nan" and "inf" back into floats in the fields that hold floats."""
    return {f.name: float(data[f.name]) if f.type is float else data[f.name] for f in fields(cls)}


DERIVED = ("device", "source", "data", "versions")
"""Fields of Trial that no study sets: planning determines them."""

TASK = ("data", "tokens", "vocab", "split", "target")
"""Fields of Trial that define the task: losses of trials that differ in them cannot be compared."""
