"""`unrolled verify`: train ended trials again in fresh processes and compare every number."""

import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from unrolled.ablations import run_folder
from unrolled.ablations.bundles.bundle_check import check_bundle
from unrolled.ablations.bundles.unpacking import unpack_bundle
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import VerifyOptions, refuse_flags
from unrolled.ablations.plans import plan_store
from unrolled.ablations.plans.program_files import load_plan_and_factory, locate_files
from unrolled.ablations.study.loading import load_plugins, refuse_plugins
from unrolled.ablations.study.study import Study
from unrolled.ablations.training.replay import replay_sample
from unrolled.bench.errors import require, suggestion


@run_folder.use_run_folder()
def verify(study: str | Study, options: VerifyOptions) -> int:
    """Train a sample of the ended trials again, in fresh processes, and compare every number.

    If the study is the .zip of a bundle, the bundle is checked first, and its page is written anew. Its
    plug-ins or its program run only if it is trusted. Returns the exit code, 1 if a number differs, if a
    trial could not be trained again, or if a bundle has a fault.
    """
    if isinstance(study, str) and (study.lower().endswith(".zip") or zipfile.is_zipfile(study)):
        refuse_flags(
            options, ("plugin",), "a bundle has its own plug-ins", "leave it out; --trust runs those"
        )
        with unpack_bundle(Path(study), is_trusted=options.trust) as bundle:
            faults = check_bundle(bundle, options.out)
            if not bundle.may_be_trained:
                return 1  # otherwise a forger could add a plug-in, so that no number is computed again
            load_plugins(bundle.plugins)
            bundle_options = replace(options, plugin=bundle.plugins)
            code = replay_sample(bundle.plan, bundle.ledger, bundle_options, bundle.relocate_result)
            return 1 if faults else code
    load_plugins(options.plugin)
    refuse_flags(options, ("trust", "out"), "is for a bundle", "name its .zip, or leave it out")
    ledger = Ledger(options.results)
    if isinstance(study, str) and Path(study).suffix not in ("", ".toml"):
        bundles = sorted(map(str, Path().glob("*.zip")))
        cure = suggestion(study, bundles) if bundles else "give the path of a bundle, or a study's name"
        require(plan_store.has_plan(study, ledger), "there is no such file", place=study, cure=cure)
    plan, program = load_plan_and_factory(study, ledger)
    if not plan.trainer.plugins:
        refuse_plugins(plan.study_name, options)
    return replay_sample(plan, ledger, options, partial(locate_files, program=program))
