"""A device that is not the CPU, and that every machine has: on `meta` tensors have shapes and no numbers.

Like a GPU it refuses to be mixed with the CPU, so that what a GPU would refuse is found without one. Where a
number is read from it, the reader gets zeros: so a run goes its whole way.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from unrolled.bench.chapter import torch_device
from unrolled.bench.chapter.chapter_run import run_trial
from unrolled.bench.chapter.chapter_trial import ChapterTrial, make_chapter_trial
from unrolled.bench.chapter.corpus import load_corpus, make_batches
from unrolled.bench.chapter.first_batch import check_first_batch
from unrolled.bench.chapter.metrics import Evaluation
from unrolled.bench.chapter.models.registry import ZOO, find_model
from unrolled.bench.chapter.training import checkpoint, loop, train
from unrolled.bench.chapter.witnesses import model_witnesses
from unrolled.bench.errors import BadInput
from unrolled.bench.trial import Result

META = torch.device("meta")
aten = torch.ops.aten
Settings = dict[str, Any]


class MetaDevice(TorchDispatchMode):
    """Keeps `meta` as far from the CPU as a GPU is, counts what is read from it, and answers with zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.hurried = False

    def __torch_dispatch__(
        self,
        operation: Any,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        arguments = dict(kwargs or {})
        tensors = [x for x in tree_leaves((args, arguments)) if isinstance(x, Tensor)]
        on_meta = any(x.is_meta for x in tensors)
        copies = operation in (aten._to_copy.default, aten.copy_.default)
        is_mixed = any(x.dim() for x in tensors if not x.is_meta)  # a number may be sent along
        if on_meta and not copies and is_mixed:
            raise RuntimeError(f"{operation}: tensors on more than one device")
        if on_meta and operation is aten._local_scalar_dense.default:
            return self._read(torch.zeros((), dtype=tensors[0].dtype)).item()
        if on_meta and operation is aten.equal.default:
            return self._read(True)
        if on_meta and copies and arguments.get("device", META).type == "cpu":
            return self._read(torch.zeros(tensors[0].shape, dtype=arguments.get("dtype") or tensors[0].dtype))
        if copies and not tensors[-1].is_meta and arguments.get("device") == META:
            assert arguments.get("non_blocking") or not self.hurried, "a GPU waits for what is sent to it"
        return operation(*args, **arguments)

    def _read(self, value: Any) -> Any:
        assert not self.hurried, "a GPU is waited for"
        self.reads += 1
        return value

    def hurry(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, under which a GPU is not to be waited for."""

        def run_hurried(*args: Any) -> Any:
            self.hurried = True
            done = function(*args)
            done = done if isinstance(done, Evaluation) else list(done)
            self.hurried = False
            return done

        return run_hurried


@pytest.fixture
def meta_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[MetaDevice]:
    """Train on `meta`, whatever device is a trial's, with epochs that wait for nothing there."""
    adamw = torch.optim.AdamW  # whose fused form knows CPUs and GPUs alone, as does its function
    monkeypatch.delattr(torch, "_fused_adamw_")
    monkeypatch.setattr(torch.optim, "AdamW", lambda *args, fused, **arguments: adamw(*args, **arguments))
    monkeypatch.setattr(torch_device, "select_device", lambda kind: META)
    monkeypatch.setattr(
        model_witnesses, "FEWEST_DRAWS", 2**8
    )  # fewer, as what is dropped is not the question here
    mode = MetaDevice()
    monkeypatch.setattr(loop, "_take_steps", mode.hurry(loop._take_steps))
    monkeypatch.setattr(loop, "validate_model", mode.hurry(loop.validate_model))
    with mode:
        yield mode


@pytest.fixture
def make_tiny_trial(tmp_path: Path) -> Callable[..., ChapterTrial]:
    """Return a function to a trial of two updates of 2 rows of 4 words; one row is its last validation.

    Few, as an operation on `meta` takes ten times as long as on the CPU.
    """
    text = tmp_path / "tiny.txt"
    text.write_text("the cat sat on a mat and slept . " * 3 + "the")

    def make(name: str, **changes: Any) -> ChapterTrial:
        spec = find_model(name)
        options = changes.pop("options", {})
        narrow = {key: 4 for key in ("hidden", "embedding") if key in spec.options}
        size = {"corpus": str(text), "window": 3 if name == "lm1" else 4, "batch": 2, "epochs": 1}
        return make_chapter_trial(spec.name, options={**narrow, **options}, **{**size, **changes})

    return make


@pytest.fixture
def train_on_meta(
    make_tiny_trial: Callable[..., ChapterTrial], meta_device: MetaDevice
) -> Callable[..., Result]:
    """Return a function to a trial's result on `meta`."""

    def run(name: str, **changes: Any) -> Result:
        trial = make_tiny_trial(name, **changes)
        result = run_trial(trial)
        assert result.is_done, result.reason
        assert all(getattr(result, name) for name in ("metrics", "records", "witnesses", "fingerprints"))
        if not find_model(name).is_counting_model:
            assert meta_device.reads > 0, "else it was not on the device"
            assert len(result.curves["valid_loss"]) == trial.epochs
        return result

    return run


@pytest.mark.parametrize("name", ZOO)
def test_a_run_of_every_model_goes_its_whole_way_on_another_device(
    train_on_meta: Callable[..., Result], name: str
) -> None:
    train_on_meta(name)


@pytest.mark.parametrize("name", ["lm4", "lm7", "awd-scratch"])
def test_a_first_batch_is_tried_on_another_device(
    make_tiny_trial: Callable[..., ChapterTrial], meta_device: MetaDevice, name: str
) -> None:
    first = check_first_batch(make_tiny_trial(name))
    assert not first.metrics
    assert not first.curves
    assert meta_device.reads > 0, "else it was not on the device"


PIECES: Settings = {"detach_every": 2, "clip": 0.25, "reset": "never", "alpha": 2.0, "beta": 1.0}
REPLAYED: Settings = {"detach_every": 8}
SHUFFLED: Settings = {"reset": "batch", "order": "shuffled"}


@pytest.mark.parametrize(
    ("name", "engine", "settings"),
    [
        ("lm4", "learner", {**PIECES, "epochs": 2}),
        ("lm4", "learner", SHUFFLED),
        ("lm6", "loop", SHUFFLED),
        ("awd", "loop", PIECES),
        ("awd-scratch", "loop", REPLAYED),
    ],
)
def test_no_setting_mixes_devices(
    train_on_meta: Callable[..., Result], name: str, engine: str, settings: Settings
) -> None:
    """Each setting in each engine, and gradients over less and more than a window in AWD-LSTM's unrolling."""
    train_on_meta(name, engine=engine, **settings)


def test_a_resumed_trial_is_back_on_its_device(
    train_on_meta: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(checkpoint.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setenv(checkpoint.INTERVAL_VARIABLE, "0")
    first = train_on_meta("lm6", epochs=2, reset="never", **REPLAYED)  # whose state is kept, too
    start = time.perf_counter()
    second = run_trial(first.trial)
    assert second.metrics["seconds"] > time.perf_counter() - start, "else it began anew"
    assert second.fingerprints == first.fingerprints


def test_an_epoch_reads_its_steps_at_once_and_its_validation_at_once(
    make_tiny_trial: Callable[..., ChapterTrial], meta_device: MetaDevice
) -> None:
    trial = make_tiny_trial("lm7", clip=0.25, epochs=2)
    torch_device.make_deterministic()
    data, *splits = train.load_data(trial)
    record = train.train_model(trial, train.build_model(trial, len(data.vocab)), *splits)
    assert meta_device.reads == 2 * len(record.epochs) == 4
    assert len(record.losses) == 4


@pytest.mark.parametrize(("kind", "engine"), [("cell", "learner"), ("model", "loop")])
def test_a_users_own_model_and_regularizer_go_the_whole_way(
    load_plugin: Callable[..., Path], train_on_meta: Callable[..., Result], kind: str, engine: str
) -> None:
    load_plugin("regularizer", "dropped", "dropped.double()", name="penalty.py")
    load_plugin(kind)
    assert "train_penalty_small" in train_on_meta("mine", engine=engine, options={"small": 0.5}).metrics


def test_a_cells_tensor_on_the_cpu_is_refused_with_its_line(
    load_plugin: Callable[..., Path], make_tiny_trial: Callable[..., ChapterTrial], meta_device: MetaDevice
) -> None:
    load_plugin("cell", "x.new_zeros(len(x), self.mix.out_features)", "torch.zeros(len(x), 4, dtype=x.dtype)")
    with pytest.raises(BadInput, match=r"^my\.py, line 14: model 'mine' fails on its first batch: .*device"):
        check_first_batch(make_tiny_trial("mine"))


def test_batches_that_were_read_on_one_device_are_read_anew_on_another(
    make_tiny_trial: Callable[..., ChapterTrial],
) -> None:
    trial = make_tiny_trial("lm4")
    first, _ = make_batches(trial, load_corpus(trial))
    assert {x.device.type for pair in first for x in pair} == {"cpu"}
    assert {x.device.type for pair in first.to(META) for x in pair} == {"meta"}
