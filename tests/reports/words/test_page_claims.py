"""What a page claims and warns of: no claiming word outside a text that was generated from a verdict."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tests.helpers.arms import make_arm, set_metrics
from tests.helpers.designs import compare, design_arms, make_pair_design, make_realistic_design
from unrolled.reports.page.render import render, render_index
from unrolled.reports.words.contrast_lines import list_claims
from unrolled.reports.words.page_limits import list_limits
from unrolled.reports.words.page_warnings import list_warnings
from unrolled.reports.words.sentences import describe_remarks
from unrolled.reports.words.study_state import describe_trials

CLAIMING = re.compile(
    r"\b(improv\w*|worsen\w*|better|worse|best|helps?|hurts?|harm\w*|degrad\w*|benefi\w*|wins?|beats?|"
    r"equal\w*|equivalen\w*|significan\w*|insignificant|negligible|inconclusive|no (?:effect|difference)|"
    r"the same within|outperform\w*|superior|inferior|faster|slower)\b",
    re.I,
)
EXPLAINED = (  # what the page says of its own signs, and of no arm
    r"\w+ is better\.",  # the metric's direction, declared before the first trial
    r"Seeds better",  # a column
    r"A large p does not show equivalence",
)


class Unmarked(HTMLParser):
    """The text of a page outside elements that are marked as generated from a verdict."""

    VOID = ("meta", "br", "input", "link", "img")

    def __init__(self, html):
        super().__init__()
        self.open = []
        self.text = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append((tag, tag in ("style", "script") or "data-claim" in dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if not any(marked for _, marked in self.open):
            self.text.append(data)


def find_unmarked_claims(html):
    """Return claiming words, each with what stands around it, outside marked and explained texts."""
    text = " ".join(" ".join(Unmarked(html).text).split())
    for explained in EXPLAINED:
        text = re.sub(explained, "·", text)
    return [text[max(0, m.start() - 40) : m.end() + 40] for m in CLAIMING.finditer(text)]


@pytest.mark.parametrize("name", ["realistic", "switched"])
def test_no_claiming_word_stands_outside_a_sentence_of_a_verdict(render_study, name):
    for page in (render_study(name), render_index(render_study(name).parents[1])):
        assert find_unmarked_claims(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "claim", ["AR helps.", "TAR has no effect.", "Tying is significantly better.", "It outperforms LMModel6."]
)
def test_a_claim_that_someone_writes_by_hand_is_found(tmp_path, claim):
    render(compare(make_pair_design(question=claim)), tmp_path)
    page = render_index(tmp_path).read_text(encoding="utf-8")
    assert len(find_unmarked_claims(page)) >= 1


def test_the_verdicts_themselves_are_marked_and_not_left_out(render_study):
    html = render_study("switched").read_text(encoding="utf-8")
    text = re.sub(r"<style.*?</style>|<script.*?</script>|<[^>]+>", " ", html, flags=re.S)
    words = [word.lower() for word in CLAIMING.findall(text)]
    assert words.count("better") > 10
    assert words.count("worse") > 10
    assert words.count("the same within") > 3


# Claims, remarks, warnings and limits.


def test_claims_come_in_the_order_of_their_verdicts():
    kinds = [claim.verdict.kind for claim in list_claims(compare(make_realistic_design()))]
    assert kinds == sorted(kinds, key=["better", "worse", "same", "open"].index)


def test_a_row_that_skewed_pairs_alone_leave_open_says_so():
    gains = (0.09, 0.1, 0.1, 0.11, 0.11, 0.12, 0.12, 0.13, 0.13, -0.17)
    base = make_pair_design().arms[0]
    losses = {s: base.results[s].metrics["valid_loss"] - gain for s, gain in enumerate(gains)}
    rare = set_metrics(make_arm("rare", 0.0, settings={"clip": 1.0}), valid_loss=losses)
    comparison = compare(design_arms((base, rare, make_arm("wide", 0.0, 0.3, settings={"clip": 2.0}))))
    states = {arm.name: describe_remarks(arm, comparison) for arm in comparison.arms if arm.verdict}
    assert [arm.verdict.kind for arm in comparison.arms[1:]] == ["open", "open"]
    assert ["skewed" in states[name] for name in ("rare", "wide")] == [True, False]


def test_a_warning_of_skewed_pairs_has_every_arm_with_its_skewness_whole():
    rare = set_metrics(make_arm("an arm with a long name", -0.5, settings={"clip": 1.0}), valid_loss={3: 3.0})
    comparison = compare(design_arms((make_pair_design().arms[0], rare)))
    (warning,) = list_warnings(comparison)
    skewness = comparison.arms[1].contrast.skewness
    assert f"an arm with a long name (skewness {skewness:.1f} over 10 seeds);" in warning


def test_trials_that_are_still_to_come_are_counted():
    comparison = compare(
        design_arms((make_arm("base", 0.0, seeds=4), make_arm("b", 0.1, settings={"clip": 1.0})))
    )
    assert re.findall(r"\d+", describe_trials(comparison)) == ["14", "20", "6"]
    assert "14 of 20 trials finished" in describe_trials(comparison)


def test_a_factor_without_effect_in_some_seeds_has_a_warning():
    late = make_arm("late", 0.1, settings={"reset": "never"})
    results = {}
    for seed, result in late.results.items():
        proof = {"ok": seed > 1, "declared": "never", "seen": "never" if seed > 1 else "epoch"}
        results[seed] = replace(result, witnesses={"reset": proof})
    late = replace(late, results=results)
    comparison = compare(design_arms((make_arm("base", 0.0), late)))
    assert "late: no proof that reset took effect in 2 of 10 seeds" in list_warnings(comparison)
    assert list(map(str, comparison.arms[1].shown_witnesses)) == [
        "✕ reset seen: epoch, not never (2 of 10 seeds)"
    ]


def test_the_limits_name_the_machine_and_diverged_seeds():
    limits = " ".join(list_limits(compare(make_realistic_design()), {"cpu": "Xeon"}))
    assert "converged seeds alone" in limits
    assert "this hardware: Xeon." in limits
    assert "this hardware: H100." in " ".join(
        list_limits(compare(make_realistic_design()), {"cpu": "Xeon", "gpu": "H100"})
    )
