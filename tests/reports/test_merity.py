"""The paper's table of AWD-LSTM beside ours: whose numbers are whose, and what each part is worth."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import study, text_of

from ablations.design.loading import load
from bench.trial import Result, Trial, failure
from reports import merity
from reports.comparison import compare
from reports.evidence import Evidence, MeasuredArm
from reports.render import render

SEEDS = (0, 1, 2)


def result(settings: dict[str, object], seed: int, perplexity: float) -> Result:
    metrics = {"valid_loss": math.log(perplexity), "valid_perplexity": perplexity, "model_parameters": 1234.0}
    weights = {"weights": f"{perplexity}"}
    trial = Trial(seed=seed, **settings)  # type: ignore[arg-type]
    return Result(trial=trial, status="done", metrics=metrics, fingerprints=weights)


@pytest.fixture
def evidence() -> Evidence:
    """The shipped study, run: each row worth its place in the file, on a text of the user's own."""
    arms = []
    for place, arm in enumerate(load("awd").arms):
        settings = {**arm.settings, "corpus": "/home/someone/sermons.txt"}
        results = {s: result(settings, s + arm.seed_offset, 80.0 + 2 * s + place) for s in SEEDS}
        arms.append(
            MeasuredArm(name=arm.name, model="awd-scratch", title="AWD", changes=arm.changes, results=results)
        )
    return study(tuple(arms), study="awd", delta=0.02, seeds=SEEDS)


def test_every_row_of_the_paper_has_an_arm_of_both_studies() -> None:
    for name in ("awd", "awd-paper"):
        arms = [arm.name for arm in load(name).arms if not arm.seed_offset]
        assert arms[1:] == [p.arm for p in merity.PUBLISHED[1:]]


def test_the_papers_numbers_fit_its_words() -> None:
    # Section 7: removing weight-dropping costs "up to 11 points", the rest of the regularisation 2 to 6,
    # full sized embedding "almost 8" points, static lengths "approximately one perplexity unit".
    worth = {p.arm: (p.penn[0] - 60.0, p.wiki[0] - 68.6) for p in merity.PUBLISHED}
    assert max(worth["no weight-dropping"]) == pytest.approx(11, abs=0.2)
    assert max(worth["full sized embedding"]) == pytest.approx(8, abs=0.1)
    assert max(worth["no variable sequence lengths"]) == pytest.approx(1, abs=0.4)
    for arm in ("no embedding dropout", "no AR/TAR", "no weight decay"):
        assert all(2 <= more <= 6 for more in worth[arm])
    assert all(valid > test for p in merity.PUBLISHED for valid, test in (p.penn, p.wiki))


def test_ours_stand_in_the_papers_order_each_against_our_full_model(evidence: Evidence) -> None:
    table = merity.paper_table(compare(evidence))
    assert table is not None and len(table.lines) == 9
    for place, line in enumerate(table.lines):
        assert line.summary.mean == pytest.approx(82.0 + place)  # 80, 82 and 84, and the row's worth
        assert line.summary.sd == pytest.approx(2.0)
        if place:
            assert line.contrast is not None and line.contrast.mean == pytest.approx(place)
        else:
            assert line.contrast is None
    assert (table.corpus, table.parameters, table.seeds) == ("sermons.txt", 1234, 3)


def test_the_page_says_that_corpus_and_size_are_others_and_names_no_folder(
    evidence: Evidence, tmp_path: Path
) -> None:
    section = text_of(render(compare(evidence), tmp_path)).partition("Corpus and size differ")[2]
    section = section.partition("Rank sets")[0]
    assert "3 seeds" in section and "sermons.txt" in section and "someone" not in section
    assert "– weight-dropping 71.1 68.9 +11.1 78.4 74.9 +9.8 90.00 ± 2.00 +8.00" in section


def test_rows_that_are_missing_diverged_or_dead_are_not_made_up(evidence: Evidence, tmp_path: Path) -> None:
    base, *others = evidence.arms
    changed = {
        "no AR/TAR": lambda arm: replace(
            arm,
            results={s: failure(r.trial, "diverged: nan", status="diverged") for s, r in arm.results.items()},
        ),
        "no weight decay": lambda arm: replace(
            arm, results={s: replace(base.results[s], trial=r.trial) for s, r in arm.results.items()}
        ),
        "full sized embedding": lambda arm: replace(arm, results={}),
    }
    arms = (base, *(changed.get(arm.name, lambda arm: arm)(arm) for arm in others))
    kept = tuple(arm for arm in arms if arm.name != "no fine-tuning")
    table = merity.paper_table(compare(replace(evidence, arms=kept)))
    assert table is not None
    lines = {line.published.arm: line for line in table.lines}
    assert "no fine-tuning" not in lines
    assert lines["no AR/TAR"].summary.mean is None and lines["no AR/TAR"].summary.diverged == 3
    assert lines["no weight decay"].contrast is None and "dead toggle" in lines["no weight decay"].row.note
    assert lines["full sized embedding"].contrast is None
    page = render(compare(replace(evidence, arms=kept)), tmp_path).read_text(encoding="utf-8")
    assert "3 diverged" in page.partition('id="merity"')[2]


def test_other_studies_have_no_such_table(evidence: Evidence, tmp_path: Path) -> None:
    plain = replace(evidence, arms=tuple(replace(arm, model="lm7") for arm in evidence.arms))
    assert merity.paper_table(compare(plain)) is None
    assert merity.paper_table(compare(replace(evidence, arms=evidence.arms[:1]))) is None
    assert 'id="merity"' not in render(compare(plain), tmp_path).read_text(encoding="utf-8")
