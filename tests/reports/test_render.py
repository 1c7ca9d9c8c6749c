"""Pages: what they say, and that hostile names stay text."""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from html import unescape
from html.parser import HTMLParser

import pytest
from jinja2 import meta, nodes

from tests.helpers.processes import helpers_path
from tests.helpers.synthetic_studies import (
    SEEN,
    SHARE,
    break_trials,
    compare,
    is_self_contained,
    make_arm,
    make_counting_arm,
    make_pair_study,
    make_realistic_study,
    make_study,
    make_switched_study,
    read_page_text,
)
from unrolled.bench.errors import BadInput
from unrolled.reports import page_template, section_rows
from unrolled.reports.chapter import page as chapter
from unrolled.reports.chapter.roles import TITLES, average_roles
from unrolled.reports.presentation import Extras
from unrolled.reports.render import Page, render, write_index
from unrolled.reports.words.claims import write_claims
from unrolled.reports.words.doubts import list_warnings


class Tags(HTMLParser):
    """Tags and attributes of a page, and what stands in its style and script."""

    def __init__(self, html):
        super().__init__()
        self.all = []
        self.inline = {}
        self._inside = None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.all.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data):
        if self._inside in ("style", "script"):
            self.inline.setdefault(self._inside, data)


SHARED_TEMPLATES = ("report.html", "parts.html", "parts_table.html")


def parse_template(template):
    jinja = page_template._make_environment()
    return jinja.parse(jinja.loader.get_source(jinja, template)[0])


def list_free_names(template):
    """Return the variables that a template reads and neither sets nor imports."""
    tree = parse_template(template)
    bound = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "store"}
    bound |= {name for statement in tree.find_all(nodes.FromImport) for name in statement.names}
    bound |= {macro.name for macro in tree.find_all(nodes.Macro)}
    return meta.find_undeclared_variables(tree) - bound - page_template._make_environment().globals.keys()


def list_extras(template):
    """Return the extras that a template reads."""
    attributes = parse_template(template).find_all(nodes.Getattr)
    return {x.attr for x in attributes if isinstance(x.node, nodes.Name) and x.node.name == "extras"}


def list_fields(kind):
    return {field.name for field in fields(kind)}


def test_templates_read_the_fields_of_a_page_and_nothing_else():
    names = set().union(*map(list_free_names, (*SHARED_TEMPLATES, "chapter.html")))
    assert names == list_fields(Page)


def test_shared_templates_read_no_extras_of_one_trainer():
    extras = set().union(*map(list_extras, SHARED_TEMPLATES))
    assert extras == list_fields(Extras) - {"warnings", "marks"}, "which a page's warnings and panels have"
    assert list_extras("chapter.html") == list_fields(chapter.ChapterExtras) - list_fields(Extras)


@pytest.fixture(scope="module")
def html(render_study):
    """Return the page of the realistic study."""
    return render_study("realistic").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(render_study):
    """Return the text of the page of the realistic study."""
    return read_page_text(render_study("realistic"))


def test_a_full_disk_leaves_the_whole_of_the_report_that_was_there(tmp_path, small_disk):
    with small_disk(tmp_path / "disk", "4m"):
        folder = render(compare(make_pair_study()), tmp_path / "disk").parent
        contents = {path.name: path.read_bytes() for path in folder.iterdir()}
        (tmp_path / "disk" / "filling").write_bytes(bytes(shutil.disk_usage(folder).free - 20_000))
        longer = replace(make_pair_study(), command=f"unrolled run {'x' * 100_000}")
        with pytest.raises(BadInput, match=r"cannot be written \(No space left on device\); make room"):
            render(compare(longer), tmp_path / "disk")
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents
        (tmp_path / "disk" / "filling").unlink()
        assert b"unrolled run xxx" in render(compare(longer), tmp_path / "disk").read_bytes()


def test_another_process_gives_the_same_bytes_and_tables_beside_the_page(render_study, tmp_path):
    # Hash randomisation and a fresh import must not show.
    code = (
        "import sys, pathlib; from tests.helpers import synthetic_studies;"
        "from unrolled.reports.render import render;"
        "render(synthetic_studies.compare(synthetic_studies.make_pair_study()), pathlib.Path(sys.argv[1]))"
    )
    variables = {**os.environ, "PYTHONPATH": helpers_path()}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=variables, check=True)
    contents = {path.name: path.read_bytes() for path in (tmp_path / "regularization").iterdir()}
    assert contents.keys() == {"index.html", "comparison.csv", "comparison.md", "trials.csv", "summary.json"}
    assert contents == {path.name: path.read_bytes() for path in render_study("pair").parent.iterdir()}


def test_the_policy_allows_the_inline_style_and_script_and_nothing_else(html):
    tags = Tags(html)
    policy = next(a["content"] for _, a in tags.all if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert is_self_contained(html)
    assert not {tag for tag, _ in tags.all} & {"link", "img", "iframe", "object", "image", "base"}
    assert not [name for _, attributes in tags.all for name in attributes if name.startswith("on")]
    for name, text in tags.inline.items():
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy


def test_no_id_is_given_twice_and_every_reference_within_the_page_arrives(html):
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for tag, a in Tags(html).all if tag == "a" and a["href"].startswith("#")}
    targets |= set(re.findall(r'<use [^>]*href="#([^"]+)"', html)) | set(re.findall(r"url\(#([^)]+)\)", html))
    assert len(targets) > 10
    assert targets <= set(ids)


def list_headings(html):
    """Return the headings of a page's sections."""
    return re.findall(r"<h2[^>]*>([^<]+)</h2>", unescape(html))


def test_each_section_with_data_is_there_and_none_without(html, tmp_path):
    assert list_headings(html) == [
        "Answer", "Learning curves", "Interactions", "The book's values", "Accuracy by token role",
        "Predictions", "Learning-rate sweep", "All numbers", "Throughput",
        "Costs of each arm", "All trials", "Limits", "Provenance",
    ]  # fmt: skip
    page = render(compare(make_study((make_arm("base", 0.0, seeds=2),))), tmp_path)
    assert list_headings(page.read_text(encoding="utf-8")) == [
        "Answer", "Learning curves", "Accuracy by token role", "Predictions", "All numbers", "Throughput",
        "Costs of each arm", "All trials", "Limits", "Provenance",
    ]  # fmt: skip
    text = read_page_text(page)
    assert "No arm can be compared with the baseline: the table says why." in text
    assert "There is no result yet" not in text


def test_the_answer_says_what_helped_by_how_much_how_sure_and_what_failed(text):
    answer = text.partition("Learning curves")[0]
    assert "108 of 110 trials finished, 1 diverged, 1 failed" in answer
    effect = "0.490 nats lower 99.4 % CI [−0.579, −0.439] 10 of 10 9.0k 33.5k ▲ better by more than δ"
    place = "LMModel7 Where: 40 % on first digits (2.49 → 1.56 nats), "
    assert place in answer
    assert f" on later digits 1.31 → 0.82 nats {effect}" in answer
    assert "tying 1.31 → 1.27 nats 0.043 nats lower 98.3 % CI [−0.1" in answer
    assert " 7 of 10 9.0k 37.6k ? open not decided" in answer
    assert "1.37 nats (LMModel6) lies within our 95 % prediction interval" in answer
    assert "0.46 nats (LMModel7) lies outside our 95 % prediction interval" in answer


@pytest.mark.parametrize(("seeds", "is_provisional"), [(9, True), (10, False)])
def test_a_claim_on_fewer_than_ten_seeds_is_called_provisional(seeds, is_provisional, tmp_path):
    arms = (make_arm("base", 0.0, seeds=seeds), make_arm("b", 0.1, seeds=seeds, settings={"clip": 1.0}))
    design = make_study(arms, seeds=tuple(range(seeds)))
    text = read_page_text(render(compare(design), tmp_path))
    assert "▼ worse by more than δ" in text
    assert ("▼ worse by more than δ provisional: under 10 seeds" in text) is is_provisional
    assert ("provisional" in " ".join(write_claims(compare(design)))) is is_provisional


BASE, B = make_pair_study().arms
SHORT = [make_arm(name, 0.1 * i, seeds=3, settings={"clip": float(i)}) for i, name in enumerate("ab")]


@pytest.mark.parametrize(
    ("design", "facts"),
    [
        pytest.param(
            make_study(tuple(break_trials(a, diverged=(0, 1, 2)) for a in SHORT), seeds=(0, 1, 2)),
            ["0 of 6 trials finished, 6 diverged"],
            id="of failures alone",
        ),
        pytest.param(
            make_study(tuple(SHORT), seeds=(0, 1, 2)),
            ["3 seeds: nothing is decided", "at least 5"],
            id="of too few seeds",
        ),
        pytest.param(
            make_study(tuple(replace(a, results={0: a.results[0]}) for a in SHORT), seeds=(0,)),
            ["0 of 1 contrast decided; 2 of 2 trials finished"],
            id="of one seed",
        ),
        pytest.param(
            replace(
                make_pair_study(), arms=(BASE, replace(B, question="Is it <b>?", note="as in the paper"))
            ),
            [" b : Is it <b>? as in the paper "],
            id="of an arm with a question and a note",
        ),
        pytest.param(
            make_pair_study(declared_at=1_770_000_000.0, first_declared=1_770_000_000.0 - 86400),
            [
                "first declared on 2026-02-01 02:40:00 UTC",
                "in this form on 2026-02-02 02:40:00 UTC",
                "before any of its contrasts had results of both sides in this ledger Seeds",
            ],
            id="of a plan that was declared twice",
        ),
        pytest.param(
            make_pair_study(
                earlier_attempts={"b": ["b against base in study s, seeds 0-9: open (valid_loss, δ 0.03)"]}
            ),
            ["1 of 1 contrast was planned before", "b against base in study s, seeds 0-9: open"],
            id="of a contrast that was planned before",
        ),
    ],
)
def test_a_page_tells_what_is_unusual_of_its_study(design, facts, tmp_path):
    text = read_page_text(render(compare(design), tmp_path))
    assert [fact for fact in facts if fact not in text] == []


def test_a_page_of_one_seed_has_no_words_on_intervals_and_on_corrections(tmp_path):
    arms = (make_arm("base", 0.0, seeds=1), make_arm("b", 0.1, seeds=1, settings={"lr": 0.1}))
    text = read_page_text(render(compare(make_study(arms, seeds=(0,))), tmp_path))
    assert "? open" in text
    assert re.findall(".{30}(?:interval|Holm).{30}", text) == []


def test_a_failed_trial_never_shows_as_a_result(html, text):
    assert "0.123456" not in html
    assert "0.1235" not in html
    assert "killed by signal 9" in text
    assert "diverged at step 312" in text


def test_means_beside_a_median_say_which_pairs_they_are_of(text):
    row = next(row for row in compare(make_realistic_study()).arms if row.diverged_count)
    k = row.contrast
    assert k.estimate != pytest.approx(k.arm_mean - k.base_mean, abs=1e-3)
    levels = f"{k.base_mean:.2f} → {k.arm_mean:.2f} nats 9 pairs that converged"
    assert f"{row.name} {levels} {k.estimate:.2f} nats higher 99 % CI [+0.22, ∞] median of 10 pairs" in text


def test_the_legend_has_the_sign_of_divergence_where_a_seed_diverged(text, tmp_path):
    legends = (
        text.partition("Arm")[0],
        read_page_text(render(compare(make_pair_study()), tmp_path)).partition("Arm")[0],
    )
    assert ["✕" in legend for legend in legends] == [True, False]


def test_warnings_name_dead_toggles_missing_witnesses_and_arms_worse_than_counting():
    base = make_arm("base", 0.0, 0.0)
    twin = make_arm("twin", 0.0, 0.0, settings={"alpha": 2.0})
    counts = make_arm("bigrams", -0.4, model="ngram-2")
    blind = make_arm("blind", 0.1, settings={"beta": 1.0})
    unseen = {"tar": {"ok": False, "declared": 1.0, "seen": 0.0}}
    blind = replace(blind, results={s: replace(r, witnesses=unseen) for s, r in blind.results.items()})
    c = compare(make_study((base, twin, counts, blind)))
    dead, unproved, *worse = (*list_warnings(c), *chapter.find_extras(c).warnings)
    assert dead.startswith("twin: dead toggle")
    assert unproved.startswith("blind: no proof that tar ")
    assert [warning.partition(":")[0] for warning in worse] == ["base", "blind"]
    assert all("▼ worse by more than δ" in warning for warning in worse)
    assert all(warning.endswith("bigram counts") for warning in worse)


def test_an_arm_is_worse_than_counting_by_verdict_and_never_by_its_mean_alone():
    counts = make_arm("bigrams", -0.01, 0.0, model="ngram-2")
    for base in (make_arm("base", 0.0, seeds=4), make_arm("base", 0.0, spread=0.2)):
        c = compare(make_study((base, counts)))
        assert c.arms[0].summary.mean > c.arms[1].summary.mean
        assert chapter.find_extras(c).warnings == ()


def test_a_sweep_joins_arms_that_differ_in_the_rate_alone():
    ((_, points),) = section_rows.find_sweeps(compare(make_realistic_study()))
    assert [lr for lr, _ in points] == [0.003, 0.01, 0.03]


def test_sweeps_of_one_model_are_told_apart_by_the_settings_in_which_they_differ():
    rates = [{"lr": lr, "clip": clip} for clip in (1.0, 2.0) for lr in (0.003, 0.01)]
    arms = [make_arm(f"{settings}", 0.1 * i, settings=settings) for i, settings in enumerate(rates)]
    titles = [title for title, _ in section_rows.find_sweeps(compare(make_study(tuple(arms))))]
    assert [title.partition(", ")[2] for title in titles] == ["clip 1.0", "clip 2.0"]


def test_roles_are_pooled_over_finished_seeds():
    names, lines = average_roles(compare(make_realistic_study()))
    assert names == tuple(TITLES[role] for role in SHARE)
    accuracy = {row.name: shares[0] for row, shares in lines}
    for name, seeds in (("LMModel6", 10), ("no reset", 9)):
        results = next(a for a in make_realistic_study().arms if a.name == name).results.values()
        hits = [r.records["roles"]["separator"][1] for r in results if r.done]
        assert accuracy[name] == sum(hits) / (1000 * seeds)


@pytest.mark.parametrize(
    ("effects", "names"),
    [
        pytest.param((0.0, -0.5, 0.3, 0.1), ["arm 1", "arm 0", "arm 2"], id="best, baseline, worst"),
        pytest.param((0.0, 0.5, 0.3, 0.1), ["arm 0", "arm 3", "arm 1"], id="where the baseline is best"),
        pytest.param((0.9, 0.5, 0.3, 0.1), ["arm 3", "arm 1", "arm 0"], id="where the baseline is worst"),
        pytest.param((0.0, 0.5), ["arm 0", "arm 1"], id="of two arms"),
    ],
)
def test_the_best_arm_the_baseline_and_one_other_predict_the_same_stretch(effects, names, tmp_path):
    arms = [make_arm(f"arm {i}", effect, settings={"clip": 1.0 + i}) for i, effect in enumerate(effects)]
    counts = make_counting_arm("counts", 0.8)
    texts = {s: {**r.records, "continuation": ()} for s, r in counts.results.items()}
    counts = replace(counts, results={s: replace(r, records=texts[s]) for s, r in counts.results.items()})
    other_task = make_arm("elsewhere", -0.9, settings={"split": "blocks"})
    other_text = make_arm("other text", -0.9, settings={"clip": 9.0})
    passage = [{"token": "one", "guess": "one", "p": 0.9}]
    read = {s: replace(r, records={"passage": passage}) for s, r in other_text.results.items()}
    other_text = replace(other_text, results=read)
    c = compare(make_study((*arms, counts, other_task, other_text, make_arm("again", -0.9, changes={}))))
    samples = chapter.choose_samples(c)
    assert [sample.arm.name for sample in samples] == names
    assert {sample.result.trial.seed for sample in samples} == {0}
    section = read_page_text(render(c, tmp_path)).partition(" Predictions ")[2].partition(" All numbers ")[0]
    assert section.count("It writes: eight thousand eighty four . eight") == len(names)
    assert section.count("11 of 15 right") == section.count("eight ✕ nine") == len(names)


def test_hostile_names_are_shown_and_do_nothing(render_study):
    page = render_study("hostile")
    html = page.read_text(encoding="utf-8")
    text = read_page_text(page)
    assert [tag for tag, _ in Tags(html).all if tag in ("script", "img")] == ["script"]
    assert all(name in text for name in SEEN)
    assert "\0" not in html
    assert "a\ufffdb" in text


def test_the_page_of_230_trials_stays_under_one_and_a_half_megabytes(render_study):
    assert sum(len(arm.results) for arm in make_switched_study().arms) == 230
    assert render_study("switched").stat().st_size < 1_500_000


def test_an_effect_of_the_baseline_against_itself_is_a_warning(tmp_path):
    failed = "A/A check failed on 10 seeds: the baseline differs from itself; distrust this study."
    for effect, spread, sentence, has_warning in (
        (0.025, 0.03, "A/A check passed on 10 seeds: the baseline under other seeds", False),
        (0.3, 0.02, failed, True),
    ):
        c = compare(make_study((make_arm("base", 0.0), make_arm("A/A: the baseline again", effect, spread))))
        assert sentence in read_page_text(render(c, tmp_path))
        assert bool(list_warnings(c)) is has_warning
        index = write_index(tmp_path)
        ends = c.arms[1].interval
        assert has_warning is not (ends.low <= 0 <= ends.high)
        assert (failed in read_page_text(index)) is has_warning


def test_a_page_says_of_which_task_its_arms_are_and_which_means_are_exp_of_another(tmp_path):
    other_task = make_arm("elsewhere", -0.9, settings={"split": "blocks"})
    text = read_page_text(
        render(compare(make_study((make_arm("base", 0.0), make_arm("b", 0.1), other_task))), tmp_path)
    )
    assert "Another task (split “blocks”, not “" in text
    assert "A mean of perplexity is exp of the mean validation loss." in text
