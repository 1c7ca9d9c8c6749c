"""Training a kept candidate a second time. A program that only prints its numbers would fail this test.

The numbers of real training are equal under the same seed, differ under another seed, and take more than a
tenth of the incumbent's time. A program may pass this test and still not train; a frozen file that evaluates
the trial's output is the cure.
"""

from collections.abc import Sequence
from statistics import median

from unrolled.ablations import run_folder
from unrolled.ablations.commits.chain.chain_study import CANDIDATE, INCUMBENT
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import RunOptions
from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.plans.program_files import locate_files
from unrolled.ablations.study.program_factory import ProgramFactory
from unrolled.ablations.study.study import Study
from unrolled.ablations.training.device import find_trial_device
from unrolled.ablations.training.replay import allow_for_noise, replay_trials
from unrolled.ablations.training.study_run import make_trial_conditions
from unrolled.bench.trial import Result
from unrolled.reports.formats import format_duration

SAMPLE_SIZE = 3  # trials that are trained again
DOUBTED_SHARE = 0.1  # share of the incumbent's time below which a candidate is doubted


@run_folder.use_run_folder()
def doubt_candidate(study: Study, plan: Plan, ledger: Ledger, options: RunOptions) -> str:
    """Train some of a candidate's trials again. Returns why its numbers are not believed, or "".

    Raises KeyboardInterrupt after Ctrl-C.
    """
    results = {name: _read_results(name, plan, ledger) for name in (INCUMBENT, CANDIDATE)}
    seconds = {name: median(result.total_seconds for result in results[name]) for name in results}
    if seconds[CANDIDATE] < DOUBTED_SHARE * seconds[INCUMBENT]:
        times = {name: format_duration(number) for name, number in seconds.items()}
        return f"a trial takes {times[CANDIDATE]}, and the incumbent's {times[INCUMBENT]}: does it train?"
    factory = study.baseline.factory
    assert isinstance(factory, ProgramFactory)
    sample = [locate_files(result, factory) for result in results[CANDIDATE][:SAMPLE_SIZE]]
    device = find_trial_device(sample[0].trial, options)
    conditions = make_trial_conditions([result.trial for result in sample], options, device)
    outcomes = replay_trials(sample, conditions, plan)
    if plan.repetition_differences:  # noise of the incumbent; a candidate that adds noise is doubted
        outcomes, _ = allow_for_noise(outcomes, plan, conditions)
    for outcome in outcomes:
        if outcome.was_interrupted:
            raise KeyboardInterrupt
        if reason := outcome.difference or outcome.obstacle:
            return f"trained again, seed {outcome.result.trial.seed} reports other numbers: {reason}"
    return ""


def _read_results(name: str, plan: Plan, ledger: Ledger) -> Sequence[Result]:
    """Return the finished results of an arm, with their details."""
    arm = next(arm for arm in plan.arms if arm.name == name)
    stored = [
        plan.make_result_in_study(result)
        for id in arm.trial_ids.values()
        if (result := ledger.read_result(id))
    ]
    return [result for result in stored if result.is_done]
