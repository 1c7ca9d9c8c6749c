"""A trial of the chapter: a model, its options, its text and its training. Imports no torch."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from unrolled.bench.chapter.chapter_identity import (
    check_as_planned,
    compute_identity_fields,
    list_plugin_files,
)
from unrolled.bench.chapter.models.registry import ZOO, find_model
from unrolled.bench.chapter.models.spec import find_active_penalties, select_needed_plugins
from unrolled.bench.chapter.text import HUMAN_NUMBERS, hash_text, read_corpus_text
from unrolled.bench.errors import require
from unrolled.bench.metric import Kind
from unrolled.bench.sources.identity import read_file_state
from unrolled.bench.trial import PLANNED_FIELDS, FileState, Scalar, Trial

WARM_UP = "unrolled.bench.chapter.warm_up"
TRAIN_SHARE = 0.8  # share of the windows that train; the rest, at the end of the text, validate
ROWS_PER_VALID_BLOCK = 4  # rows of a validation block; a training block is one: of five blocks, one validates


@dataclass(frozen=True)
class SettingSpec:
    """The meaning, title and allowed values of a setting. Its type is the type of its default."""

    description: str
    title: str = ""  # title on pages; "" for the name
    off_when_zero: bool = False  # whether an arm with 0 is "no weight decay", and not "weight decay 0"
    choices: tuple[str, ...] = ()
    names: Mapping[Any, str] = field(default_factory=dict)  # names of single values
    low: float | None = None  # least value, or least length of a string
    above: float | None = None
    below: float | None = None


def setting(default: Any, description: str, **rules: Any) -> Any:
    """Declare a field of ChapterTrial that a study may set. `rules` are the other fields of SettingSpec."""
    return field(default=default, metadata={"setting": SettingSpec(description, **rules)})


@dataclass(frozen=True, kw_only=True)
class ChapterTrial(Trial):
    """A model trained on a text.

    `options` are the keywords of the model's class (hidden, layers, dropout, tying …). The other fields are
    settings of the text and of the training.
    """

    trainer_name: ClassVar[str] = "chapter"
    uses_torch: ClassVar[bool] = True
    unhashed_fields: ClassVar[tuple[str, ...]] = ("corpus",)
    later_fields: ClassVar[tuple[str, ...]] = ("occasion",)
    task_fields: ClassVar[tuple[str, ...]] = ("data", "tokens", "vocab", "split", "target")
    task_settings: ClassVar[tuple[str, ...]] = ("corpus", *task_fields[1:])

    model: str
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
    wd: float = setting(0.01, "weight decay", title="weight decay", off_when_zero=True, low=0)
    moms: tuple[float, float, float] = setting(
        (0.95, 0.85, 0.95),
        "momentum at the start, the middle and the end of one cycle",
        title="momentum",
        names={(0.95, 0.85, 0.95): "momentum of LMModel6", (0.8, 0.7, 0.8): "momentum of LMModel7"},
        low=0,
        below=1,
    )
    clip: float = setting(0.0, "largest gradient norm; 0 does not clip", low=0)
    alpha: float = setting(
        0.0, "strength of activation regularization", title="AR", off_when_zero=True, low=0
    )
    beta: float = setting(
        0.0, "strength of temporal activation regularization", title="TAR", off_when_zero=True, low=0
    )
    engine: str = setting(
        "loop", "loop (plain torch) or learner (fastai, the reference)", choices=("learner", "loop")
    )

    def __post_init__(self) -> None:
        """Normalise the fields, so that equal trials are equal: a `detach_every` of 0 becomes the window."""
        object.__setattr__(self, "detach_every", self.detach_every or self.window)
        object.__setattr__(self, "stride", 0 if self.stride == self.window else self.stride)
        object.__setattr__(self, "options", dict(sorted(self.options.items())))
        object.__setattr__(self, "moms", tuple(self.moms))

    @classmethod
    def find_cost_kinds(cls) -> Mapping[str, Kind]:
        """Return the kinds that the table of the chapter's metrics declares."""
        from unrolled.bench.chapter.metric_table import CHAPTER_METRICS  # which no trial's process needs

        return {metric.name: metric.kind for metric in CHAPTER_METRICS if metric.kind != "quality"}

    @property
    def title(self) -> str:
        """The model's title."""
        return ZOO[self.model].title if self.model in ZOO else self.model

    @property
    def configured_class(self) -> str:
        """The class that builds the model; its name where the plug-in is not loaded."""
        return f"{ZOO[self.model].module}.{ZOO[self.model].builder}" if self.model in ZOO else self.model

    @property
    def uses_seed(self) -> bool:
        """False for a model that is fitted by counting."""
        return not (self.model in ZOO and ZOO[self.model].is_counting_model)

    @property
    def data_name(self) -> str:
        """The corpus, or the name of its file."""
        return Path(self.corpus).name or "text"

    @property
    def main_metrics(self) -> tuple[str, ...]:
        """Loss and accuracy."""
        return "valid_loss", "valid_accuracy"

    @property
    def preload(self) -> tuple[str, ...]:
        """torch and the corpus; fastai where it trains."""
        return (WARM_UP, f"{WARM_UP}_fastai") if "fastai " in self.versions else (WARM_UP,)

    def derive_seed(self, name: str) -> int:
        """Return the seed of one use of randomness (init, data, dropout), from the trial's seed alone.

        The seed does not depend on the arm, so that arms of one seed share initial weights and the order of
        data.
        """
        return int.from_bytes(hashlib.sha256(f"{self.seed}/{name}".encode()).digest()[:8]) >> 1

    def flat_settings(self) -> dict[str, Scalar]:
        """Return every setting but the seed by its flat name, as tables and MLflow show it."""
        flat: dict[str, Scalar] = {}
        for name, value in self.to_dict().items():
            if name == "moms":
                flat[name] = ",".join(f"{mom:g}" for mom in value)
            elif name not in ("seed", "options", *PLANNED_FIELDS):
                flat[name] = value
        return {**flat, **self.options}

    def find_changes(self, base: Trial) -> dict[str, Scalar]:
        """See Trial.find_changes.

        Of two models of one class, one may have an option that the other lacks. At its default that option is
        no change.
        """
        changes = super().find_changes(base)
        if self.model not in ZOO or base.configured_class != self.configured_class:
            return changes
        options = ZOO[self.model].options
        base_settings = base.flat_settings()
        return {
            name: value
            for name, value in changes.items()
            if name in base_settings or options.get(name) != value
        }

    def identify(self) -> Self:
        """Return the trial with the hashes of its code and its text, and the versions of its packages."""
        return replace(self, **compute_identity_fields(self.model, self.engine, self.options, self.corpus))

    def read_planned_file_states(self) -> Mapping[Path, FileState]:
        """Return the state of the files of its plug-ins, which may still be imported.

        The text is read by then, so that its file is not among them. A trial that was not identified is not
        checked. Raises BadInput if code, text or versions have changed since it was planned.
        """
        if not self.source:
            return {}
        files = list_plugin_files(self.model, find_active_penalties(self.options))
        states = {path: read_file_state(path) for path in files}
        current = self.identify()
        require(
            hash_text(read_corpus_text(self.corpus)) == self.data,
            "the text was edited after the study was planned",
            place=f"corpus {self.corpus}",
            cure="run the study again",
        )
        check_as_planned(self, current)
        return states

    def check_text_length(self, tokens: int) -> None:
        """Raise BadInput for a text of so few tokens that a split has less than one batch."""
        count = len(range(0, tokens - self.window - 1, self.stride or self.window))  # number of windows
        if self.split == "tail":
            is_short = count - int(count * TRAIN_SHARE) < self.batch
        else:
            valid_blocks = -(-self.batch // ROWS_PER_VALID_BLOCK)
            is_short = count // (self.batch + valid_blocks) < -(-self.batch // valid_blocks)
        rule = f"{tokens:,} tokens are too few for batch = {self.batch} and window = {self.window}"
        needed = max(self.batch, 2) * (self.stride or self.window) * 5 + self.window + 1
        cure = f"about {needed:,} are needed: give a longer text, or lower batch or window"
        is_enough = count >= 2 * self.batch and not is_short
        require(is_enough, rule, place=f"corpus {self.corpus}", cure=cure)

    def select_plugins(self, plugins: Sequence[str]) -> list[str]:
        """Return the plug-ins of a study that this trial needs."""
        return select_needed_plugins(self.model, self.options, plugins)

    def list_hashed_files(self) -> dict[str, Path]:
        """Return its text and the files of its plug-ins, by path."""
        files = list_plugin_files(self.model, find_active_penalties(self.options))
        return {str(path): path for path in (Path(self.corpus), *files)}

    def read_files_to_send(self) -> dict[str, bytes]:
        """Return the text by its relative path, unless every machine has it."""
        if self.corpus == HUMAN_NUMBERS:
            return {}
        return {self._relative_path: read_corpus_text(self.corpus).encode()}

    def relocate_to(self, folder: Path) -> Self:
        """Return the trial with its text below another folder."""
        if self.corpus == HUMAN_NUMBERS:
            return self
        return replace(self, corpus=str(folder / self._relative_path))

    @property
    def _relative_path(self) -> str:
        return f"{self.data}/{Path(self.corpus).name}"


def make_chapter_trial(
    model: str, seed: int = 0, options: Mapping[str, Scalar] | None = None, **settings: Any
) -> ChapterTrial:
    """Return a trial of a model in the chapter's set-up, changed by `options` and `settings`.

    Raises BadInput for an unknown model.
    """
    spec = find_model(model)
    trial_fields = {"options": {**spec.options, **(options or {})}, **spec.settings, **settings}
    return ChapterTrial(model=model, seed=seed, **trial_fields)
