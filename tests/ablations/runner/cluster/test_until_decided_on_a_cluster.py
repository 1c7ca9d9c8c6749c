"""A study with looks on a cluster comes to the end that it has on one core."""

from pathlib import Path

import pytest
from look_trials import Study


@pytest.mark.slow
def test_a_study_on_a_cluster_comes_to_the_end_that_it_has_here(two: str, tmp_path: Path) -> None:
    outcomes = []
    for name, where in (("here", ("-j", "1")), ("there", ("--cluster", two))):
        (tmp_path / name).mkdir()
        study = Study(tmp_path / name)
        study.run(*where)
        outcomes.append((study.outcome(), study.trained()))
    (here, least), (there, trained) = outcomes
    assert here == there
    assert least <= trained and len(trained - least) <= 2 * 3, "its two places, at each of three looks"
