"""TOML → a study. Everything is decided and checked before the first trial."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablations.design import seeds as seeds_
from ablations.design import tuning
from ablations.design.arms import arms_of
from ablations.design.errors import at
from ablations.design.settings import inherit, label, resolve
from ablations.design.study import Study
from ablations.design.study_file import Written, check, read
from bench.trial import BadInput

LIMIT = 10_000
"""Trials that are planned without a confirmation."""


def load(name_or_path: str | Path, *, limit: int = LIMIT, confirmed: bool = False) -> Study:
    """A study that ships, by name, or the user's own, by the path of its .toml.

    Raises BadInput, naming file and key, for everything that is wrong with it, and where it plans more
    than `limit` trials that nobody has confirmed: they are counted without being built.
    """
    path, text = read(str(name_or_path))
    with at(path):
        try:
            return _study(check(text), path, limit, confirmed)
        except RecursionError as error:
            raise BadInput("is nested too deeply; a study needs four levels") from error


def override(
    study: Study,
    seeds: int | str | Sequence[int] | None = None,
    sets: Sequence[tuple[str, Sequence[Any]]] = (),
    *,
    limit: int = LIMIT,
    confirmed: bool = False,
) -> Study:
    """The study with other seeds and settings, as `--seeds` and `--set` give them.

    One value is the baseline's from now on; several are arms, one at a time. Raises BadInput.
    """
    written = study.written
    chosen = written.seeds if seeds is None else seeds_.seeds(seeds)
    with at("--set"):
        changed = written.model_copy(update={"seeds": chosen, **_settings(written, sets)})
    with at(study.path):
        return _study(changed, study.path, limit, confirmed)


def _settings(written: Written, sets: Sequence[tuple[str, Sequence[Any]]]) -> dict[str, Any]:
    """The fields of a study that `--set` changes: its baseline, that one's name, and what is swept."""
    given = dict(sets)
    if len(given) < len(sets):
        twice = next(key for i, (key, _) in enumerate(sets) if key in dict(sets[:i]))
        every = ",".join(str(value) for key, values in sets if key == twice for value in values)
        raise BadInput(f"{twice} stands there twice; write its values side by side: {twice}={every}")
    single = {key: values[0] for key, values in sets if len(values) == 1}
    swept = {key: list(values) for key, values in sets if key not in single}
    baseline = inherit(written.baseline, single)
    resolve(baseline)  # all at once: finetune = 1 is good where epochs = 4, in whatever order they come
    for key, values in swept.items():
        if not values:
            raise BadInput(f"no value for {key}; write --set {key}=1 or --set {key}=1,2")
        for value in values:
            resolve(inherit(baseline, {key: value}))
    named = [label(key, value) for key, value in single.items() if key != "corpus"]
    sweeps = {**written.design.one_at_a_time, **swept}
    return {
        "baseline": baseline,
        "baseline_name": written.baseline_name and ", ".join([written.baseline_name, *named]),
        "design": written.design.model_copy(update={"one_at_a_time": sweeps}),
    }


def _study(written: Written, path: str, limit: int, confirmed: bool) -> Study:
    seeds = seeds_.seeds(written.seeds)
    arms = 1 + written.design.count + len(written.arm) + written.aa
    most = arms * (len(seeds) + (written.tuning.count(len(seeds)) if written.tuning else 0))
    if most > limit and not confirmed:
        count = f"{most:,}" if arms < 10**15 else "more than 10^15"
        raise BadInput(
            f"plans up to {count} trials, more than {limit:,}; take levels out, or confirm with --yes"
        )
    study = Study(
        seeds=seeds,
        arms=arms_of(written, seeds),
        path=path,
        written=written,
        **{key: getattr(written, key) for key in ("name", "question", "about", "metric", "equivalence")},
    )
    with at("[tuning]"):
        return tuning.decided(study)
