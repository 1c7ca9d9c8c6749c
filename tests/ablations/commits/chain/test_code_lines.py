"""Lines of code: what a simplification takes away."""

from unrolled.ablations.commits.chain.code_lines import count_text_lines

SOURCE = '''"""A module.

Of two lines.
"""

import os  # a comment


# a comment of its own
def join(a, b):
    """Join."""
    text = """one

    two"""
    return os.path.join(
        a,
        b,
    )
'''


def test_blank_lines_comments_and_docstrings_are_no_code() -> None:
    assert count_text_lines(SOURCE, is_python=True) == 9
    stripped = "\n".join(line for line in SOURCE.splitlines() if not line.startswith("# "))
    assert count_text_lines(stripped, is_python=True) == 9


def test_another_text_and_python_that_cannot_be_read_count_by_their_lines() -> None:
    assert count_text_lines("a = 1\n\n# b\n", is_python=False) == 2
    assert count_text_lines("def\n\n# b\n", is_python=True) == 2
