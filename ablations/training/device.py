"""The device of a study: the CPU or GPUs, one for all of its trials, chosen before the first is trained."""

from collections.abc import Sequence
from typing import NamedTuple

from unrolled.ablations.options import PlaceOptions, PlanOptions
from unrolled.ablations.study.study import Study
from unrolled.bench.devices import Usable, cores, usable
from unrolled.bench.errors import BadInput, plural, require
from unrolled.bench.nvidia import Gpu
from unrolled.reports.formats import duration


class Device(NamedTuple):
    """The device of a study's trials, and the number of trials at a time on this machine."""

    kind: str  # cpu | cuda
    why: str
    slots: int
    available: Usable = Usable()  # where it is cuda, and no cluster trains

    def __str__(self) -> str:
        lines = [f"device {self.kind}: {self.why}"]
        unused = () if self.available.why else self.available.unused
        return "\n".join([*lines, *(f"{line}: not used" for line in unused)])

    def check(self) -> None:
        """Raise BadInput if the trials need a GPU and none can be used."""
        if self.available.why:
            raise BadInput(
                self.available.why,
                place="device cuda, as the study's stored plan has it",
                cure="--device cpu trains the whole study on the CPU",
            )


def device_of_plan(kind: str, options: PlaceOptions, *, of_program: bool = False) -> Device:
    """The Device of a kind that was chosen earlier. Raises BadInput for "cuda" if no GPU can be used."""
    if options.cluster:
        return Device(kind, "", cores())
    available = usable(with_torch=not of_program) if kind == "cuda" else Usable()
    if available.why:
        raise BadInput(available.why, place="device cuda", cure=available.cure)
    return _device(kind, "", options.workers, available)


def choose_device(study: Study, options: PlanOptions, before: str) -> Device:
    """Choose a study's device: --device, else that of its stored plan (`before`), else the faster one.

    On a cluster the last choice is always the CPU, since the GPUs of the workers are not known here. Where
    time, speed or memory is judged, one trial runs at a time, so that none slows another down.
    Raises BadInput for --device cuda if no GPU can be used, and on a cluster for a program that keeps files
    and for a study that judges time, speed or memory.
    """
    device = _choose(study, options, before)
    why = f"{device.why}; one trial at a time, as speed is judged"
    return device._replace(why=why) if study.clocks else device


def _choose(study: Study, options: PlanOptions, before: str) -> Device:
    asked = {"auto": "", "gpu": "cuda"}.get(options.device, options.device)
    workers = 1 if study.clocks else options.workers
    kind = asked or before
    source = "as --device says" if asked else "as its stored plan has it" if before else ""
    if options.cluster:
        keep = study.file.program.keep if study.file.program else ()
        stays, cure = "its files would stay on the workers", "leave it out, or train without --cluster"
        require(not keep, stays, place="[program]", key="keep", cure=cure)
        alone = f"judging {', '.join(study.clocks)} takes one trial at a time, and a cluster trains several"
        require(not study.clocks, alone, place="--cluster", cure="leave it out")
        why = source or "on a cluster, unless --device cuda is given"
        return Device(kind or "cpu", why, workers or cores())
    if asked == "cpu" or (study.of_program and kind != "cuda"):
        return _device("cpu", source or "a program gets a GPU by --device cuda", workers, Usable())
    available = usable(with_torch=not study.of_program)
    if asked and available.why:
        raise BadInput(available.why, place="--device cuda", cure=f"{available.cure}, or use --device cpu")
    if available.why:
        why = f"{source}; {available.why}" if kind == "cuda" else available.why
        return _device(kind or "cpu", why, workers, available)
    if study.of_program:
        return _device(kind, source, workers, available)
    estimates = _estimates(study, workers, available.gpus)
    kind = kind or min(estimates, key=lambda kind: estimates[kind][0])
    words = ", ".join(estimates[k][1] for k in sorted(estimates, key=lambda k: k != kind))
    how = "about" if len(study.looks) == 1 else "at most"
    return _device(kind, f"{source}{source and '; '}{how} {words}", workers, available)


def _device(kind: str, why: str, workers: int | None, available: Usable) -> Device:
    if kind == "cpu":
        return Device(kind, why, workers or cores())
    return Device(kind, why, workers or max(len(available.gpus), 1), available)


def _estimates(study: Study, workers: int | None, gpus: Sequence[Gpu]) -> dict[str, tuple[float, str]]:
    """Seconds of a study, to its last look, on the CPU and on the GPUs, and in words; the CPU comes first."""
    costs = [(arm.trainer.costs(arm.settings), len(arm.seeds)) for arm in study.arms]
    each = [(cost, count) for cost, count in costs if cost]
    many = min(workers or cores(), cores())
    slots = workers or len(gpus)
    on_cpu = sum(count * cost.cpu for cost, count in each) / many
    busy = sum(count * cost.gpu for cost, count in each)
    starts = sum(count * cost.gpu_start for cost, count in each)
    # a GPU trains one at a time, and a slot waits for its process to start
    on_gpu = max(busy / min(len(gpus), slots), (busy + starts) / slots)
    where = "one GPU" if len(gpus) == 1 else f"{len(gpus)} GPUs"
    return {
        "cpu": (on_cpu, f"{duration(on_cpu)} on {plural(many, 'core')}"),
        "cuda": (on_gpu, f"{duration(on_gpu)} on {where}"),
    }
