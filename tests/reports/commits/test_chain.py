"""The page of a chain shows every proposal, and what anyone may have written as text."""

from pathlib import Path

from unrolled.reports.commits.chain_page import ChainPage, ChainSummary, ProposalRow, draw_gains, render_chain

HOSTILE = "<script>alert(1)</script> & more"


def make_row(number: int, outcome: str, gain: float | None) -> ProposalRow:
    return ProposalRow(
        number=number,
        commit=f"abc {HOSTILE}",
        outcome=outcome,
        difference="",
        bound="",
        pairs=4,
        level="",
        p="",
        lines="",
        seconds="",
        remark=HOSTILE,
        page="",
        gain=gain,
        least_gain=0.1,
    )


def test_a_page_shows_proposals_and_runs_nothing_of_theirs(tmp_path: Path) -> None:
    page = tmp_path / "night" / "index.html"
    chain = ChainPage(
        name="night",
        question=HOSTILE,
        answer="1 of 2 proposals kept",
        facts=["A fact."],
        rows=[make_row(1, "keep", 1.5), make_row(2, "crash", None)],
        course=[HOSTILE],
        others=[ChainSummary(name="day", page="../day/index.html", proposal_count=1, keep_count=0)],
    )
    render_chain(chain, page)
    html = page.read_text()
    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert(1)") >= 5
    assert "../day/index.html" in html and "0 kept of 1 proposal" in html


def test_the_picture_has_a_point_for_each_measured_proposal() -> None:
    rows = [make_row(1, "keep", 1.5), make_row(2, "discard", -9.0), make_row(3, "refused", None)]
    picture = draw_gains(rows)
    assert picture.count("<circle") == 2
    assert picture.count('class="ends better"') == 1
    assert draw_gains(rows[2:]) == ""
