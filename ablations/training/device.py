"""The device of a study: the CPU or GPUs, one for all of its trials, chosen before the first is trained."""

from typing import NamedTuple

from unrolled.ablations.options import PlanOptions, WorkerOptions
from unrolled.ablations.study.study import Study
from unrolled.bench.errors import require
from unrolled.bench.hardware.devices import Gpu, check_gpus, count_cores, list_visible_gpus
from unrolled.bench.phrases import plural
from unrolled.bench.trial import Trial


class DeviceChoice(NamedTuple):
    """The device of a study's trials, and the number of trials at a time on this machine."""

    type: str  # cpu | cuda
    reason: str
    slots: int
    gpus: tuple[Gpu, ...] = ()  # visible GPUs, if no cluster trains
    hides_gpus: bool = True  # whether trials on the CPU see no GPU

    def __str__(self) -> str:
        """Return the device, the reason and the visible GPUs, in a line."""
        remark = "" if self.type == "cuda" else ", not used without --device cuda"
        gpus = f"; {plural(len(self.gpus), 'GPU')} visible{remark}" if self.gpus else ""
        return f"device {self.type}: {self.reason}{gpus}"


def find_trial_device(trial: Trial, options: WorkerOptions) -> DeviceChoice:
    """Return the device on which to train a trial again. Raises BadInput for too few GPUs."""
    gpus = _list_local_gpus(options)
    if not options.cluster:
        check_gpus(gpus, trial.gpu_count, with_torch=trial.uses_torch)
    slots = options.workers or count_slots(trial.gpu_count, gpus)
    hides_gpus = trial.uses_torch or bool(gpus or options.cluster)
    return DeviceChoice(trial.device, "as it was trained", slots, gpus, hides_gpus)


def choose_device(study: Study, options: PlanOptions, stored: str) -> DeviceChoice:
    """Choose a study's device: that of --device, else of its stored plan, else the default.

    The default is the CPU, and for a program the visible GPUs, if there are any. On a cluster it is always
    the CPU, since this machine cannot see the GPUs of the workers. If time, speed or memory is judged, one
    trial runs at a time, so that no trial slows another down.

    Raises BadInput if a trial is to get more GPUs than are visible, and on a cluster for a program that keeps
    files and for a study that judges time, speed or memory. A stored plan is not checked: all of its trials
    may be trained.
    """
    if options.cluster:
        _refuse_on_cluster(study)
    is_requested = options.device != "auto"
    gpus = _list_local_gpus(options)
    device_type, reason = _choose_type(study, options, stored, gpus)
    trial = study.baseline.make_unidentified_trial(device=device_type)
    if not options.cluster and (is_requested or not stored):
        check_gpus(gpus, trial.gpu_count)
    slots = options.workers or count_slots(trial.gpu_count, gpus)
    if costs := study.rules.judged_costs:
        slots = 1
        reason += f"; one trial at a time, as a cost is judged ({', '.join(costs)})"
    # if NVML lists no GPU, a program may still have one, such as an instance of a divided GPU
    hides_gpus = trial.uses_torch or bool(is_requested or gpus or options.cluster)
    return DeviceChoice(device_type, reason, slots, gpus, hides_gpus)


def _choose_type(study: Study, options: PlanOptions, stored: str, gpus: tuple[Gpu, ...]) -> tuple[str, str]:
    """Return the type of a study's device, cpu or cuda, and the reason."""
    if options.device != "auto":
        return {"gpu": "cuda"}.get(options.device, options.device), "as --device says"
    wants_several = study.baseline.make_unidentified_trial(device="cuda").gpu_count > 1
    if stored == "cpu" and wants_several:
        return stored, "as its stored plan has it; without the GPUs of `gpus`, which --device cuda gives"
    if stored:
        return stored, "as its stored plan has it"
    if options.cluster or not study.trainer.runs_user_code:
        return "cpu", "the default"
    if gpus or wants_several:
        unused = "one that uses none trains more trials at a time with --device cpu"
        return "cuda", f"a program gets the visible GPUs; {unused}"
    return "cpu", "no GPU is visible"


def _list_local_gpus(options: WorkerOptions) -> tuple[Gpu, ...]:
    """Return the visible GPUs of this machine, () if a cluster trains."""
    return () if options.cluster else list_visible_gpus()


def count_slots(gpu_count: int, gpus: tuple[Gpu, ...]) -> int:
    """Return how many trials are trained at a time: one per core, or as many as the GPUs suffice for."""
    return max(1, len(gpus) // gpu_count) if gpu_count else count_cores()


def _refuse_on_cluster(study: Study) -> None:
    """Raise BadInput for a study that a cluster cannot train."""
    keep = study.file.program.keep if study.file.program else ()
    require(
        not keep,
        "its files would stay on the workers",
        place="[program]",
        key="keep",
        cure="leave it out, or train without --cluster",
    )
    costs = study.rules.judged_costs
    require(
        not costs,
        f"judging {', '.join(costs)} takes one trial at a time, and a cluster trains several",
        place="--cluster",
        cure="leave it out",
    )
