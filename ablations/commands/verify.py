"""`unrolled verify`: train ended trials again in fresh processes and compare every number."""

import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from unrolled.ablations import run_folder
from unrolled.ablations.bundles import bundle_check
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import VerifyOptions, refuse_flags
from unrolled.ablations.study import plan_store
from unrolled.ablations.study.loading import load_plugins, refuse_plugins
from unrolled.ablations.study.plan import Plan
from unrolled.ablations.study.retraining import attach_files, load_program
from unrolled.ablations.study.study import Study
from unrolled.ablations.training.device import device_of_trial
from unrolled.ablations.training.replay import REPEATS, Replay, allow_for_noise, draw_sample, replay_trials
from unrolled.ablations.training.study_run import trial_conditions
from unrolled.bench.errors import require, suggestion, visible
from unrolled.bench.metric import MEASURED
from unrolled.bench.trial import Result
from unrolled.reports.formats import describe_distances, join_names, shorten


@run_folder.use_run_folder()
def verify(study: str | Study, options: VerifyOptions) -> int:
    """Train a sample of the ended trials again, in fresh processes, and compare every number.

    A study that is a .zip is a bundle, which is checked first, and whose page is written anew; its plug-ins
    or its program are run only if it is trusted. The exit code is 1 where a number differs, where a trial
    could not be trained again, and where a bundle has a fault.
    """
    if isinstance(study, str) and (study.lower().endswith(".zip") or zipfile.is_zipfile(study)):
        refuse_flags(
            options, ("plugin",), "a bundle has its own plug-ins", "leave it out; --trust runs those"
        )
        with bundle_check.check_bundle(Path(study), options.trust, options.out) as bundle:
            if bundle.runs_foreign_code:
                return 1  # else a forger would add a plug-in, and no number would be computed again
            bundle_options = replace(options, plugin=bundle.plugins)
            code = replay_sample(bundle.plan, bundle.ledger, bundle_options, bundle.locate)
            return 1 if bundle.faults else code
    load_plugins(options.plugin)
    refuse_flags(options, ("trust", "out"), "is for a bundle", "name its .zip, or leave it out")
    ledger = Ledger(options.results)
    if isinstance(study, str) and Path(study).suffix not in ("", ".toml"):
        bundles = sorted(map(str, Path().glob("*.zip")))
        cure = suggestion(study, bundles) if bundles else "give the path of a bundle, or a study's name"
        require(plan_store.has_plan(study, ledger), "there is no such file", place=study, cure=cure)
    plan, program = load_program(study, ledger)
    if plan.of_program:
        refuse_plugins(plan.study, options)
    return replay_sample(plan, ledger, options, partial(attach_files, program=program))


def replay_sample(
    plan: Plan, ledger: Ledger, options: VerifyOptions, locate: Callable[[Result], Result]
) -> int:
    """Train a sample of a plan's trials again and print how many are bit-identical. Returns the exit code.

    `locate` is the result with the files that its trial reads. Results of a program that is not deterministic
    may be `REPEATS` times as far from the new ones as the new ones of one trial are from each other.
    """
    results = list(map(locate, draw_sample(plan, ledger, options.number)))
    device = device_of_trial(results[0].trial, options)  # which is that of all trials of a plan
    conditions = trial_conditions([result.trial for result in results], options, device)
    outcomes = replay_trials(results, conditions, plan)
    alike = "bit-identical"
    if plan.of_program:
        outcomes, noise = allow_for_noise(outcomes, plan, conditions)
        if any(noise.values()) or (noise and plan.nondeterminism):
            print(f"not deterministic: new trials of one seed differ ({describe_distances(noise)})")
            alike = f"within {REPEATS} times the distance of equal trials"
        elif noise:
            alike = "equal in what is judged, and not in all that is told"
    return _print_outcomes(outcomes, plan, alike)


def _print_outcomes(outcomes: Sequence[Replay], plan: Plan, alike: str) -> int:
    """Print what differs, and how many are `alike`. Returns the exit code."""
    differing = [outcome for outcome in outcomes if outcome.differs]
    for outcome in differing:
        trial = outcome.result.trial
        arm = plan.arm_names[trial.id]
        print(f"{visible(arm)} seed {trial.seed} ({trial.id}): {visible(outcome.differs)}")
    unplayed = Counter(shorten(outcome.unplayed, 400) for outcome in outcomes if outcome.unplayed)
    same = len(outcomes) - len(differing) - unplayed.total()
    parts = [f"{same} of {len(outcomes)} {alike}"]
    parts += [f"{len(differing)} not"] if differing else []
    if unplayed:
        reasons = "; ".join(f"{reason}: {number}" for reason, number in unplayed.most_common())
        parts.append(f"{unplayed.total()} could not be replayed ({reasons})")
    reported = {name for outcome in outcomes for name in outcome.result.metrics}
    left_out = sorted(reported & plan.irreproducible - {*MEASURED})
    print(", ".join(parts) + (f"; not compared: {visible(join_names(left_out))}" if left_out else ""))
    if unplayed["interrupted"] and not differing:
        return 130
    return 0 if same == len(outcomes) else 1
