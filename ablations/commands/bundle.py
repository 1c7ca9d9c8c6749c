"""`unrolled bundle`: write a study with everything that a reviewer needs in one file."""

from pathlib import Path

from unrolled.ablations import run_folder
from unrolled.ablations.bundles.bundle_file import check_parts, write_bundle
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import StoredOptions
from unrolled.ablations.plans.program_files import load_plan_and_factory, locate_files
from unrolled.ablations.publishing.plan_page import read_page_results
from unrolled.ablations.runner.sent_files import select_distinct_trials
from unrolled.ablations.study.loading import load_plugins, refuse_plugins
from unrolled.ablations.study.study import Study
from unrolled.ablations.terminal import print_line
from unrolled.bench.chapter.chapter_trial import ChapterTrial
from unrolled.bench.errors import require
from unrolled.bench.phrases import plural
from unrolled.bench.program.program_trial import ProgramTrial


@run_folder.use_run_folder()
def bundle(study: str | Study, output: Path, options: StoredOptions, *, no_text: bool = False) -> int:
    """Write the bundle of a study. Returns the exit code."""
    place = f"-o {output}"
    require(output.suffix.lower() == ".zip", "a bundle's name ends in .zip", place=place, cure=f"{place}.zip")
    is_unique = len({Path(name).name for name in options.plugin}) == len(options.plugin)
    require(is_unique, "two files have one name", place="--plugin", cure="give one of them another name")
    load_plugins(options.plugin)
    ledger = Ledger(options.results)
    plan, program = load_plan_and_factory(study, ledger)
    if not plan.trainer.plugins:
        refuse_plugins(plan.study_name, options)
    results = {id: locate_files(result, program) for id, result in read_page_results(plan, ledger).items()}
    require(
        results,
        f"study {plan.study_name!r} has no result",
        cure=f"`unrolled run {plan.study_name}` trains it",
    )
    trials = select_distinct_trials(result.trial for result in results.values())
    check_parts(trials, plan.study_name)
    included_trials = [trial for trial in trials if not (no_text and isinstance(trial, ChapterTrial))]
    write_bundle(output, plan, results, ledger, options.plugin, included_trials)
    trust = " --trust" if plan.trainer.runs_user_code or options.plugin else ""
    print_line(f"{output}: {plural(len(results), 'result')}; `unrolled verify {output}{trust}` checks it")
    absent_paths = dict.fromkeys(
        path for trial in trials if isinstance(trial, ProgramTrial) for path in trial.outside_paths
    )
    if absent_paths:
        print_line(f"not in it, and needed at the same path to train again: {', '.join(absent_paths)}")
    return 0
