import base64
import hashlib
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from jinja2 import UndefinedError

from bench.trial import BadInput
from reports import sections
from reports.answer import claims, limits, tally, warnings
from reports.comparison import compare
from reports.render import folder_name, render, render_index, write_page
from reports.statistics.verdicts import Word


class Page(HTMLParser):
    """Tags, attributes, text and ids of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.inline, self._inside = [], [], {}, None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside in ("style", "script"):
            self.inline[self._inside] = data
        else:
            self.text.append(data)

    def __contains__(self, text):
        return text in " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def html(evidence, tmp_path_factory):
    return render(compare(evidence), tmp_path_factory.mktemp("out")).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_the_page_and_its_tables_lie_side_by_side(evidence, tmp_path):
    page = render(compare(evidence), tmp_path)
    assert page == tmp_path / "regularization" / "index.html"
    names = {"index.html", "comparison.csv", "comparison.md", "comparison.tex", "trials.csv"}
    assert {path.name for path in page.parent.iterdir()} == names


def test_a_page_that_cannot_be_finished_leaves_the_one_before(tmp_path):
    others = dict.fromkeys(("chapter", "golden", "benchmarks"), False)
    page = write_page(tmp_path / "index.html", "index.html", {"studies": [], **others})
    before = page.read_bytes()
    with pytest.raises(UndefinedError):
        write_page(page, "index.html", {"studies": []})
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"] and page.read_bytes() == before


def test_a_full_disk_leaves_the_whole_of_the_report_that_was_there(evidence, tmp_path, small_disk):
    with small_disk(tmp_path / "disk", "4m"):
        folder = render(compare(evidence), tmp_path / "disk").parent
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        (tmp_path / "disk" / "filling").write_bytes(bytes(shutil.disk_usage(folder).free - 20_000))
        longer = replace(evidence, command=f"unrolled run {'x' * 100_000}")
        with pytest.raises(BadInput, match=r"cannot be written \(No space left on device\): make room"):
            render(compare(longer), tmp_path / "disk")
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        (tmp_path / "disk" / "filling").unlink()
        assert b"unrolled run xxx" in render(compare(longer), tmp_path / "disk").read_bytes()


def test_rendering_twice_gives_the_same_bytes(evidence, html, tmp_path):
    assert render(compare(evidence), tmp_path).read_text(encoding="utf-8") == html


def test_another_process_gives_the_same_bytes(make_arm, make_study, tmp_path):
    # Hash randomisation and a fresh import must not show.
    code = (
        "import importlib.util as u, pathlib, sys; s = u.spec_from_file_location('c', sys.argv[1]);"
        "c = u.module_from_spec(s); s.loader.exec_module(c); from reports.render import render;"
        "from reports.comparison import compare;"
        "arms = (c.arm('a', 0.0), c.arm('b', 0.1, settings={'clip': 1.0}));"
        "render(compare(c.study(arms)), pathlib.Path(sys.argv[2]))"
    )
    conftest = __file__.replace("test_render.py", "conftest.py")
    subprocess.run([sys.executable, "-c", code, conftest, str(tmp_path / "there")], check=True)
    here = render(
        compare(make_study((make_arm("a", 0.0), make_arm("b", 0.1, settings={"clip": 1.0})))),
        tmp_path / "here",
    )
    assert (tmp_path / "there" / "regularization" / "index.html").read_bytes() == here.read_bytes()


def test_the_policy_allows_the_inline_style_and_script_and_nothing_else(page):
    metas = [a for tag, a in page.tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    policy = metas[0]["content"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for name, text in page.inline.items():
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy


def test_the_page_names_nothing_to_fetch_and_no_handler(page):
    for tag, attributes in page.tags:
        assert tag not in ("link", "img", "iframe", "object", "image", "base")
        assert not {"src", "style", "srcset"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
    for tag, attributes in page.tags:
        if tag in ("a", "use") and "href" in attributes:
            assert re.match(r"#|comparison\.|trials\.csv", attributes["href"])


def test_no_id_is_given_twice(html):
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_every_link_within_the_page_arrives(page):
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    targets = {a["href"][1:] for tag, a in page.tags if tag == "a" and a["href"].startswith("#")}
    assert targets and targets <= ids


@pytest.mark.parametrize(
    "heading",
    [
        "Answer", "Effects", "Comparison", "Seed by seed", "Learning curves", "The book and us",
        "Where it goes wrong", "Rank sets", "Equivalence", "Interactions", "Throughput",
        "Learning-rate sweep", "Time to target", "Confound ledger", "All trials", "What this cannot show",
        "Provenance",
    ],
)  # fmt: skip
def test_each_section_with_data_is_there(page, heading):
    assert heading in [text.strip() for text in page.text]


def test_a_section_without_data_is_left_out(make_arm, make_study, tmp_path):
    text = render(compare(make_study((make_arm("base", 0.0, seeds=2),))), tmp_path).read_text(
        encoding="utf-8"
    )
    for heading in (
        "Effects",
        "Seed by seed",
        "The book and us",
        "Rank sets",
        "Interactions",
        "Learning-rate sweep",
    ):
        assert f">{heading}<" not in text
    assert "Nothing can be said yet" in text


def test_a_study_of_failures_alone_is_still_a_page(make_arm, make_broken, make_study, tmp_path):
    arms = [make_arm(name, 0.0, seeds=3, settings={"clip": clip}) for name, clip in (("a", 0.0), ("b", 1.0))]
    gone = make_study(tuple(make_broken(a, diverged=(0, 1, 2)) for a in arms), seeds=(0, 1, 2))
    text = render(compare(gone), tmp_path).read_text(encoding="utf-8")
    assert "0 of 6 trials finished, 6 diverged" in text


def test_the_answer_says_what_helped_by_how_much_how_sure_and_what_failed(page):
    assert "108 of 110 trials finished, 1 diverged, 1 failed" in page
    assert "LMModel7 −0.4" in page
    assert "95 % CI [−0.5" in page
    assert "better on 10 of 10 seeds; no failures" in page
    assert (
        "1 of 2 published values are plausible as a single run of our procedure; not plausible: LMModel7"
        in page
    )


def test_claims_come_in_the_order_of_their_verdicts(evidence):
    found = claims(compare(evidence))
    words = [claim.verdict.word for claim in found]
    assert words == sorted(words, key=list(Word).index)
    sizes = [abs(c.verdict.contrast.mean) for c in found if c.verdict.word is Word.IMPROVES]
    assert sizes == sorted(sizes, reverse=True) and len(sizes) > 1


def test_a_failed_trial_never_shows_as_a_result(html, page):
    assert "0.123456" not in html and "0.1235" not in html
    assert "killed by signal 9" in page and "diverged at step 312" in page


def test_trials_that_are_still_to_come_are_counted(make_arm, make_study):
    c = compare(make_study((make_arm("base", 0.0, seeds=4), make_arm("b", 0.1, settings={"clip": 1.0}))))
    assert tally(c) == "14 of 20 trials finished, 6 not trained yet"


def test_warnings_name_dead_toggles_missing_witnesses_and_arms_worse_than_counting(make_arm, make_study):
    base, twin = make_arm("base", 0.0, 0.0), make_arm("twin", 0.0, 0.0, settings={"alpha": 2.0})
    counts = make_arm("bigrams", -0.4, model="ngram-2")
    blind = make_arm("blind", 0.1, settings={"beta": 1.0})
    unseen = {"tar": {"ok": False, "declared": 1.0, "seen": 0.0}}
    blind = replace(blind, results={s: replace(r, witnesses=unseen) for s, r in blind.results.items()})
    said = warnings(compare(make_study((base, twin, counts, blind))))
    assert (
        "twin: dead toggle: the weights equal the baseline's bit for bit, so the change did nothing" in said
    )
    assert "blind: no proof that tar took effect" in said
    assert "base: ▼ WORSENS against bigram counts" in said
    assert not [one for one in said if one.startswith("bigrams")]


def test_a_factor_that_took_effect_in_some_seeds_alone_is_told_with_their_number(make_arm, make_study):
    arm = make_arm("late", 0.1, settings={"on_plateau": "average"})
    for seed, result in arm.results.items():
        came = {"ok": seed > 1, "declared": "average", "seen": "average" if seed > 1 else "ignore"}
        arm.results[seed] = replace(result, witnesses={"on_plateau": came})
    c = compare(make_study((make_arm("base", 0.0), arm)))
    of = len(arm.results)
    assert f"late: no proof that on_plateau took effect in 2 of {of} seeds" in warnings(c)
    assert list(map(str, c.rows[1].shown)) == [f"✕ on_plateau: ignore, not average (2 of {of} seeds)"]


def test_an_arm_is_worse_than_counting_by_verdict_and_never_by_its_mean_alone(make_arm, make_study):
    counts = make_arm("bigrams", -0.01, 0.0, model="ngram-2")
    few = make_study((make_arm("base", 0.0, seeds=4), replace(counts)))
    noisy = make_study((make_arm("base", 0.0, spread=0.2), counts))
    for evidence in (few, noisy):
        c = compare(evidence)
        assert c.rows[0].summary.mean > c.rows[1].summary.mean and warnings(c) == ()


def test_an_undecided_arm_comes_with_what_would_decide_it(evidence):
    assert "this hardware: H100." in " ".join(limits(compare(evidence), {"cpu": "Xeon", "gpu": "H100"}))
    said = " ".join(limits(compare(evidence), {"cpu": "Xeon"}))
    assert re.search(r"tying: 10 pairs of seeds would mostly miss an effect under 0\.\d+ nats", said)
    assert "given convergence" in said and "Xeon" in said


def test_a_sweep_joins_arms_that_differ_in_the_rate_alone(evidence):
    (sweep,) = sections.sweeps(compare(evidence))
    assert [lr for lr, _ in sweep.points] == [0.003, 0.01, 0.03]


def test_roles_are_pooled_over_finished_seeds(evidence):
    names, lines = sections.roles(compare(evidence))
    assert names == ("separator", "lead digit", "digit", "teen", "hundred", "thousand")
    by_arm = {row.arm.name: cells for row, cells in lines}
    assert by_arm["LMModel6"][0].targets == 10_000 and by_arm["no reset"][0].targets == 9_000
    hits = [r.roles["separator"][1] for r in evidence.arms[0].results.values()]
    assert by_arm["LMModel6"][0].accuracy == sum(hits) / 10_000


def test_the_ledger_of_confounds_has_every_cost_and_its_difference_from_the_baseline(evidence, page):
    costs = {line.row.arm.name: line for line in sections.costs(compare(evidence))}
    gflops = 6 * 752640 / 1e9  # for each parameter of the synthetic trials
    assert costs["LMModel6"].values["train_flops"] == pytest.approx(37598 * gflops)
    fewer = costs["LMModel7"]
    assert fewer.against["train_flops"] - fewer.values["train_flops"] == pytest.approx(4096 * gflops)
    assert "GFLOPs of training" in page and "−18.5" in page  # 4096 · 6 · 752640 = 18.50e9
    assert {"model_parameters", "train_updates", "train_tokens", "seconds"} <= fewer.values.keys()


def test_the_ledger_of_confounds_shows_a_gpu_where_there_was_one_and_no_empty_column(
    evidence, html, tmp_path
):
    without = html.partition('id="costs"')[2].partition("</section>")[0]
    assert "GPU" not in without and "tokens/s" not in without
    measured = {"speed_steady": 5e5, "gpu_utilisation": 63.0, "gpu_memory_peak": 41.0}
    machine = {"device": "cuda", "gpu": "NVIDIA A", "driver": "570.1", "cuda": "12.8"}

    def on_a_gpu(arm):
        made = {
            seed: replace(r, metrics={**r.metrics, **measured}, environment={**r.environment, **machine})
            for seed, r in arm.results.items()
        }
        return replace(arm, results=made)

    arms = tuple(map(on_a_gpu, evidence.arms))
    shown = render(compare(replace(evidence, arms=arms)), tmp_path).read_text()
    table = shown.partition('id="costs"')[2].partition("</section>")[0]
    for title in ("tokens/s after the first epoch", "GPU in use (%)", "peak GPU memory (MiB)"):
        assert f">{title}</th>" in table
    trials = sum(r.done for arm in arms for r in arm.results.values())
    assert f"{trials} trials on NVIDIA A, driver 570.1, CUDA 12.8." in table


def test_a_resumed_trial_costs_what_all_its_attempts_took(evidence):
    base = evidence.arms[0]
    slow = {s: replace(r, metrics={**r.metrics, "speed_seconds": 900.0}) for s, r in base.results.items()}
    arms = (replace(base, results=slow), *evidence.arms[1:])
    assert sections.costs(compare(replace(evidence, arms=arms)))[0].values["seconds"] == 900.0


def test_an_arm_whose_operations_nobody_counted_has_a_dash_among_the_costs(evidence, make_arm, tmp_path):
    own = make_arm("mine", 0.1, model="my-cell")
    bare = {
        s: replace(r, metrics={k: v for k, v in r.metrics.items() if k != "train_flops"})
        for s, r in own.results.items()
    }
    arms = (*evidence.arms[:1], replace(own, results=bare))
    line = sections.costs(compare(replace(evidence, arms=arms)))[1]
    assert "train_flops" not in line.values
    html = render(compare(replace(evidence, arms=arms)), tmp_path).read_text(encoding="utf-8")
    assert '<td class="num" data-value="">–</td>' in html


def test_a_miss_counts_as_the_whole_budget(evidence):
    target, lines = sections.targets(compare(evidence))
    slow = {row.arm.name: t for row, t in lines}["lr 3e-3"]
    assert slow.arm_reached < slow.pairs == 10
    assert slow.arm_mean <= 15 == slow.budget
    assert target == pytest.approx(compare(evidence).rows[0].summary.mean)


def test_hostile_names_are_shown_and_do_nothing(hostile_evidence, tmp_path):
    text = render(compare(hostile_evidence), tmp_path).read_text(encoding="utf-8")
    page = Page(text)
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert not [1 for tag, _ in page.tags if tag == "img"]
    for name in (
        "_base",
        "<script>alert(1)</script>",
        "$x_$ & \\frac",
        "nul␀␛[31m\ufffd",
        "=1+1",
        "{{ 7*7 }}",
    ):
        assert name in page
    assert "\0" not in text and "a\ufffdb" in page


@pytest.mark.parametrize("name", ["../../etc", "", "a/b", "..", "-rf", "ü", "x" * 65, "CON:"])
def test_a_study_name_never_decides_where_files_go(name):
    assert re.fullmatch(r"[0-9a-f]{16}", folder_name(name))


def test_a_plain_study_name_is_its_folder():
    assert folder_name("learning-rate_2") == "learning-rate_2"


def test_only_web_addresses_become_links(evidence, tmp_path):
    links = {0: "http://127.0.0.1:5000/#/experiments/1/runs/a", 1: "javascript:alert(1)"}
    arms = (replace(evidence.arms[0], links=links), *evidence.arms[1:])
    text = render(compare(replace(evidence, arms=arms)), tmp_path).read_text(encoding="utf-8")
    assert 'href="http://127.0.0.1:5000/#/experiments/1/runs/a"' in text
    assert "javascript:" not in text


@pytest.mark.parametrize(
    ("reused", "first", "told"),
    [
        (
            None,
            None,
            "declared 2026-02-02 02:40:00 UTC; first trial",
        ),  # by an earlier version: nothing is claimed
        ({}, None, "declared 2026-02-02 02:40:00 UTC ✓ before any of its trials; first trial"),
        (
            {"regularization": 11, "models": 20},
            1_770_000_000.0 - 86400,
            "declared 2026-02-02 02:40:00 UTC, when 31 of its 110 trials had a result: 11 of an earlier plan "
            "of this study, first declared 2026-02-01 02:40:00 UTC; 20 reused from models; first trial",
        ),
        (
            {"": 3},
            None,
            "when 3 of its 110 trials had a result: 3 of no plan that is known "
            "✕ nothing shows that they were planned first ; first trial",
        ),
    ],
)
def test_the_page_says_what_was_known_when_the_plan_was_declared(evidence, tmp_path, reused, first, told):
    known = replace(evidence, planned=1_770_000_000.0, declared=110, reused=reused, first=first)
    page = render(compare(known), tmp_path)
    assert told in Page(page.read_text(encoding="utf-8"))
    assert ("✕ nothing shows" in page.read_text(encoding="utf-8")) == ("" in (reused or {}))


def test_five_hundred_trials_stay_under_three_megabytes_and_twenty_seconds(big_evidence, tmp_path):
    began = time.process_time()  # what others do on this machine does not count
    page = render(compare(big_evidence), tmp_path)
    assert time.process_time() - began < 20
    assert page.stat().st_size < 3_000_000


def test_the_index_ranks_studies_and_links_to_their_pages(
    evidence, hostile_evidence, make_arm, make_study, tmp_path
):
    small = make_study((make_arm("base", 0.0), make_arm("b", 0.1, settings={"clip": 1.0})), study="small")
    text = render_index([compare(small), compare(evidence), compare(hostile_evidence)], tmp_path).read_text(
        encoding="utf-8"
    )
    assert 'href="chapter.html"' not in text
    (tmp_path / "chapter.html").touch()
    (tmp_path / "golden.html").touch()
    (tmp_path / "benchmarks.html").touch()
    linked = render_index([compare(evidence)], tmp_path).read_text(encoding="utf-8")
    assert 'href="chapter.html"' in linked
    assert re.search(r'evidence\.\s+<a href="golden.html">.*digit\.\s+<a href="benchmarks.html">', linked)
    links = [a["href"] for tag, a in Page(text).tags if tag == "a" and a["href"].endswith("index.html")]
    first = list(dict.fromkeys(links))
    # the largest sure effects: about .61, .49 and .10 nats
    assert first == [
        f"{folder_name(hostile_evidence.study)}/index.html",
        "regularization/index.html",
        "small/index.html",
    ]


def test_the_index_says_what_failed_and_what_the_instrument_shows_of_itself(
    evidence, make_arm, make_study, tmp_path
):
    aa = make_study((make_arm("base", 0.0), make_arm("A/A", 0.0, spread=0.01)), study="small")
    page = Page(render_index([compare(evidence), compare(aa)], tmp_path).read_text(encoding="utf-8"))
    assert "108 of 110 trials finished, 1 diverged, 1 failed" in page
    assert "the baseline against itself under other seeds: ≡ EQUIVALENT, no effect, as it must be" in page


def test_an_index_of_nothing_says_so(tmp_path):
    assert "No study has results yet" in render_index([], tmp_path).read_text(encoding="utf-8")


def test_tables_are_light_to_import():
    heavy = "{'matplotlib', 'seaborn', 'torch', 'mlflow'}"
    code = f"import reports.tables, sys; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_effect_of_the_baseline_against_itself_is_a_warning(make_arm, make_study, tmp_path):
    same = make_study((make_arm("base", 0.0), make_arm("A/A: the baseline again", 0.0, spread=0.01)))
    shifted = make_study((make_arm("base", 0.0), make_arm("A/A: the baseline again", 0.3)))
    assert "≡ EQUIVALENT, no effect, as it must be" in render(compare(same), tmp_path).read_text()
    assert "distrust this study" in render(compare(shifted), tmp_path).read_text()
