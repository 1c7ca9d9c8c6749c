"""The chapter's page: every answer states the numbers it rests on, or says what has not been run."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from synthetic import arm, hostile, is_self_contained, realistic, study, text_of

from bench.analyses import MEASURED
from reports.chapter import mechanics, trainings
from reports.chapter.page import render
from reports.chapter.questionnaire import LINES
from reports.chapter.questions import QUESTIONS
from reports.comparison import compare
from reports.figures.drawing import power, spread


@pytest.fixture(scope="module")
def page(measured, tmp_path_factory) -> Path:
    """The page before a study was run, and without results that come with Unrolled."""
    return render(measured, [], tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def text(page) -> str:
    return page.read_text(encoding="utf-8")


def test_every_question_has_evidence_to_come_from() -> None:
    assert all(q.show or q.study for q in QUESTIONS)
    assert all(bool(q.show) == bool(q.measured) for q in QUESTIONS)
    assert {name for q in QUESTIONS for name in q.measured} | {"sources"} == set(MEASURED)
    assert len({q.id for q in QUESTIONS}) == len(QUESTIONS)


def test_sections_have_the_books_numbers_each_once_and_in_its_order() -> None:
    numbers = [number for q in QUESTIONS for number in q.book]
    assert sorted(numbers) == sorted(line.number for line in LINES)
    firsts = [q.book[0] for q in QUESTIONS if q.book]
    assert firsts == sorted(firsts, key=lambda n: (n.startswith("R"), int(n.lstrip("R"))))


def test_every_section_opens_with_its_answer_before_its_figure(text) -> None:
    for q in QUESTIONS:
        section = text.partition(f'<h2 id="{q.id}">')[2].partition("</section>")[0]
        answer = section.partition("</h2>")[2].lstrip()
        assert answer.startswith("<p><b>"), q.id
        assert not re.match(r"<p><b>\W*</b>", answer), q.id


def test_without_a_measurement_no_section_answers_by_one(tmp_path) -> None:
    page = render({}, [], tmp_path).read_text(encoding="utf-8")
    answered = page.count("</h2>\n<p><b>")
    assert answered == sum(bool(q.answer) for q in QUESTIONS)


def test_the_questions_stand_in_their_order(text) -> None:
    assert re.findall(r'<h2 id="([a-z]+)">', text) == [
        "answer",
        *(q.id for q in QUESTIONS),
        "questionnaire",
        "provenance",
    ]


def test_a_study_that_was_not_run_is_a_command_and_no_claim(page) -> None:
    said = text_of(page)
    for q in QUESTIONS:
        if q.study:
            assert f"The study {q.study} has not been run: unrolled run {q.study}" in said
    waiting = [q.study for q in QUESTIONS if q.study]
    assert f'make ablations STUDIES="{" ".join(waiting)}"' in said
    both = sum(bool(q.study) for q in QUESTIONS)
    assert f"{len(QUESTIONS) - both} of {len(QUESTIONS)} questions have all their evidence" in said


def test_a_measurement_that_was_not_made_is_said_to_be_missing(measured, tmp_path) -> None:
    rest = {name: m for name, m in measured.items() if name != "cells"}
    page = text_of(render(rest, [], tmp_path))
    asking = [q for q in QUESTIONS if "cells" in q.measured]
    assert page.count("Not measured yet: make chapter measures it.") == len(asking) == 3


def test_a_study_that_was_run_speaks_through_its_verdicts(measured, tmp_path) -> None:
    page = text_of(render(measured, [compare(realistic())], tmp_path))
    section = page.split("What do dropout, AR, TAR")[1].split("Questions 32, 33")[0]
    assert "IMPROVES" in section and "LMModel7" in section
    assert "better on 10 of 10 seeds" in section
    assert "108 of 110 trials finished, 1 diverged, 1 failed" in section
    assert 'href="regularization/index.html"' in (tmp_path / "chapter.html").read_text(encoding="utf-8")
    assert "has not been run: unrolled run regularization" not in page


def test_a_study_without_a_result_counts_as_not_run(measured, tmp_path) -> None:
    planned = study((replace(arm("LMModel7", 0.0), results={}),))
    page = render(measured, [compare(planned)], tmp_path)
    assert "has not been run: unrolled run regularization" in text_of(page)


def test_a_study_of_levels_is_drawn_along_its_factor(measured, tmp_path) -> None:
    arms = [
        arm(f"{kind} {n}", 0.1 * n, model="lm5", options={"nonlinearity": kind, "layers": n})
        for kind in ("tanh", "relu")
        for n in (1, 2)
    ]
    render(measured, [compare(study(tuple(arms), study="depth"))], tmp_path)
    page = (tmp_path / "chapter.html").read_text(encoding="utf-8")
    drawing = page.split('id="q-depth-study-desc"')[1].split("</svg>")[0]
    assert all(
        f">{name}</text>" in drawing for name in ("tanh, lr 0.01", "relu, lr 0.01", "layers", "1", "2")
    )


def test_a_part_that_was_not_seen_is_crossed_out(found) -> None:
    rows = [{**found["anatomy"]["rows"][0], "ok": False}, *found["anatomy"]["rows"][1:]]
    shown = mechanics.anatomy({"rows": rows})
    assert shown.table is not None
    assert shown.table.rows[0][2].startswith("✕")
    assert f"{len(rows) - 1} of {len(rows)} did what the table says" in shown.answer
    assert "every part did" in mechanics.anatomy({"rows": rows[1:]}).answer


def test_the_questionnaire_is_whole_and_every_line_links_to_evidence(text) -> None:
    """39 questions and 4 of further research: fastbook chapter 12, "Questionnaire" and "Further Research"."""
    page = text.partition('id="questionnaire"')[2]
    lines = page.split('<div class="line"')[1:]
    assert [re.findall(r"<h3[^>]*>(\w+) ·", line)[0] for line in lines] == [
        *map(str, range(1, 40)),
        *("R1", "R2", "R3", "R4"),
    ]
    ids = {q.id for q in QUESTIONS}
    linked = [re.findall(r'href="#(\w+)"', line) for line in lines]
    assert all(linked) and {id for line in linked for id in line} <= ids
    assert all(q.id in {id for line in linked for id in line} for q in QUESTIONS if q.book)


def test_the_code_that_the_book_asks_for_is_shown_and_escaped(measured, text, tmp_path) -> None:
    shown = re.findall(r"<summary>Code: (\w+)</summary>", text)
    assert shown == [name for line in LINES for name in line.code.split()]
    assert set(shown) == set(measured["sources"]["found"])
    hostile_code = {**measured["sources"], "found": dict.fromkeys(shown, "<script>alert(1)")}
    page = render({**measured, "sources": hostile_code}, [], tmp_path).read_text(encoding="utf-8")
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page


def test_the_stacked_network_is_drawn_where_the_book_asks_for_it(text) -> None:
    line = text.partition('id="book-19"')[2].partition("<h3")[0]
    assert line.count(">layer 1</text>") == line.count(">layer 2</text>") == 3


def test_without_detaching_each_batch_adds_to_what_is_held(found) -> None:
    kept, cut = found["history"]["not detached"], found["history"]["detached"]
    assert len(set(cut["nodes"])) == len(set(cut["bytes"])) == 1
    for grown in (kept["nodes"], kept["bytes"]):
        assert grown[0] < grown[1] < grown[2] and grown[2] - grown[1] == grown[1] - grown[0]
    assert f"walk through {kept['nodes'][-1]} nodes" in mechanics.history(found["history"]).text


def test_training_in_half_the_precision_is_another_training_of_the_same_seeds(found) -> None:
    whole, half = found["halved"]["float32"], found["halved"]["bfloat16"]
    assert set(whole) == set(half) == {"0", "1"}
    assert all(0 < abs(whole[seed] - half[seed]) < 0.2 for seed in whole)
    assert trainings.halved(found["halved"]).judged is not None


def test_the_page_is_self_contained_its_ids_are_its_own_and_its_bytes_the_same_each_time(
    measured, tmp_path
) -> None:
    page = render(measured, [compare(realistic())], tmp_path).read_text(encoding="utf-8")
    assert page == render(measured, [compare(realistic())], tmp_path / "b").read_text(encoding="utf-8")
    assert is_self_contained(page)
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_hostile_names_stay_text(measured, tmp_path) -> None:
    named = compare(replace(hostile(), study="regularization"))
    page = render(measured, [named], tmp_path).read_text(encoding="utf-8")
    assert "<script>alert" not in page and page.count("<script>") == 1


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0, "0"), (1.0, "1"), (38.72, "38.72"), (68.8, "68.8"), (0.02, "0.02"), (1.19e-7, "1.2·10⁻⁷"),
     (1e-6, "10⁻⁶"), (1e6, "10⁶"), (-0.5, "−0.5")],
)  # fmt: skip
def test_numbers_are_written_as_people_write_them(value: float, written: str) -> None:
    assert power(value) == written


@pytest.mark.parametrize("heights", [[0.5, 0.5, 0.5], [0.98, 0.99, 1.0], [-3.0, 0.0, 9.0], [0.1]])
def test_names_beside_lines_never_cover_each_other(heights: list[float]) -> None:
    placed = spread(heights, 0.07)
    assert all(b - a >= 0.07 - 1e-12 for a, b in pairwise(placed))
    assert placed[0] >= 0 and placed[-1] <= 1
