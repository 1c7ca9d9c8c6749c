import pytest
from synthetic import is_self_contained, text_of

from unrolled.reports.chapter.golden import render

ROWS = [
    {"model": "lm1", "epoch": 2, "ours": (1.4175559, 1.6544977, 0.4944141),
     "printed": ("1.417556", "1.654497", "0.494414"), "source": "the chapter's notebook", "agree": (6, 5, 6),
     "off": 1},
    {"model": "lm1", "epoch": 3, "ours": (1.3764397, 1.6508489, 0.4944141),
     "printed": ("1.376440", "1.650849", "0.494414"), "source": "the chapter's notebook", "agree": (6, 6, 6),
     "off": 0},
    {"model": "lm3", "epoch": 3, "ours": (1.0052156, 1.6159903, 0.5151442),
     "printed": ("1.005092", "1.613794", "0.516587"), "source": "the chapter's notebook", "agree": (3, 2, 2),
     "off": 4},
    {"model": "lm4", "epoch": 1, "ours": (2.3303714, 1.9695220, float("nan")),
     "printed": None, "source": "", "agree": None, "off": 0},
]  # fmt: skip
FACTS = {"unlike": [], "commit": "0123456789abcdef", "cpu": "Xeon 8481C", "cpu_capability": "AVX512",
         "threads": 1, "packages": {"torch": "2.13.0+cpu", "fastai": "2.8.12"}}  # fmt: skip


def test_the_page_counts_rows_and_says_where_rounding_takes_over(tmp_path):
    page = render(ROWS, FACTS, tmp_path)
    assert page == tmp_path / "golden.html"
    text = text_of(page)
    assert "1 of 3 printed rows come out in every digit, 1 more in all but a last digit." in text
    assert "Rounding takes over in LMModel3 at epoch 3." in text


def test_each_printed_number_stands_beside_ours_and_the_digits_that_agree(tmp_path):
    text = text_of(render(ROWS, FACTS, tmp_path))
    assert "LMModel1 the chapter's notebook 2 1.417556 1.417556 ✓ all 6 1.654497 1.654498 5 of 6" in text
    assert "1.005092 1.005216 3 of 6 1.613794 1.615990 2 of 6" in text
    assert "LMModel4 Epoch Train loss (nats) Validation loss (nats) Accuracy 1 2.330371 1.969522 –" in text


def test_the_page_says_where_arithmetic_may_differ(tmp_path):
    same = text_of(render(ROWS, FACTS, tmp_path))
    assert "This machine has" not in same and "are the reference's" in same
    unlike = {**FACTS, "unlike": ["torch 2.9.1 instead of 2.13.0", "cpu capability AVX2 instead of AVX512"]}
    text = text_of(render(ROWS, unlike, tmp_path))
    assert "This machine has torch 2.9.1 instead of 2.13.0, cpu capability AVX2 instead of AVX512." in text
    assert "are the reference's" not in text


def test_nothing_played_is_a_page_too(tmp_path):
    assert "None of the epochs that were played has a printed row." in text_of(render([], FACTS, tmp_path))


def test_the_page_is_self_contained_and_the_same_each_time(tmp_path):
    first = render(ROWS, FACTS, tmp_path / "a").read_text(encoding="utf-8")
    assert first == render(ROWS, FACTS, tmp_path / "b").read_text(encoding="utf-8")
    assert is_self_contained(first)


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "a\u202eb"])
def test_hostile_names_stay_text(tmp_path, hostile):
    rows = [{**ROWS[0], "model": hostile, "source": hostile}]
    page = render(rows, {**FACTS, "cpu": hostile}, tmp_path).read_text(encoding="utf-8")
    assert hostile not in page
