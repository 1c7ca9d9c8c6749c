"""No claiming word stands on a page outside a text that was generated from a verdict: those are marked."""

import re
from html.parser import HTMLParser

import pytest
import synthetic
from synthetic import compare, pair

from reports.render import describe, render_index

CLAIMING = re.compile(
    r"\b(improv\w*|worsen\w*|better|worse|best|helps?|hurts?|harm\w*|degrad\w*|benefi\w*|wins?|beats?|"
    r"equal\w*|equivalen\w*|significan\w*|insignificant|negligible|inconclusive|no (?:effect|difference)|"
    r"the same within|outperform\w*|superior|inferior|faster|slower)\b",
    re.I,
)
EXPLAINED = (  # what the page says of its own signs, and of no arm
    r"A verdict is read off the interval .*? it reaches across 0 and δ\.",
    r"\w+ is better\.",  # the metric's direction, declared before the first trial
    r"Seeds better",  # a column
    r"The best is 1 plus the number of arms that are significantly better",
    r"the worst is the number of arms minus those that are significantly worse",
    r"A large p does not show equivalence",
    r"for equivalence towards it",
)


class Unmarked(HTMLParser):
    """The text of a page outside elements that are marked as generated from a verdict."""

    VOID = ("meta", "br", "input", "link", "img")

    def __init__(self, html):
        super().__init__()
        self.open, self.text = [], []
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


def unmarked_claims(html):
    """Claiming words, each with what stands around it, outside marked and explained texts."""
    text = " ".join(" ".join(Unmarked(html).text).split())
    for explained in EXPLAINED:
        text = re.sub(explained, "·", text)
    return [text[max(0, m.start() - 40) : m.end() + 40] for m in CLAIMING.finditer(text)]


@pytest.mark.parametrize("name", ["realistic", "switched"])
def test_no_claiming_word_stands_outside_a_sentence_of_a_verdict(rendered, tmp_path, name):
    index = render_index([describe(compare(getattr(synthetic, name)()))], tmp_path)
    for page in (rendered(name), index):
        assert unmarked_claims(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "claim", ["AR helps.", "TAR has no effect.", "Tying is significantly better.", "It outperforms LMModel6."]
)
def test_a_claim_that_someone_writes_by_hand_is_found(tmp_path, claim):
    page = render_index(map(describe, [compare(pair(question=claim))]), tmp_path).read_text(encoding="utf-8")
    assert len(unmarked_claims(page)) >= 1


def test_the_verdicts_themselves_are_marked_and_not_left_out(rendered):
    html = rendered("switched").read_text(encoding="utf-8")
    shown = re.sub(r"<style.*?</style>|<script.*?</script>|<[^>]+>", " ", html, flags=re.S)
    words = [word.lower() for word in CLAIMING.findall(shown)]
    assert words.count("better") > 10 and words.count("worse") > 10 and words.count("the same within") > 3
