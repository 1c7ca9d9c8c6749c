"""Lines of code and lines that Python ignores."""

from unrolled.bench.sources.code_lines import count_text_lines, list_code_lines

SOURCE = '''
"""The module."""

# a comment
class Cell:
    """The class,

    in two lines.
    """

    size: int
    """The field."""

    def forward(self) -> None: ...

    def name(self) -> str: "a docstring on the line of its function"

    text = """

# of the text
"""
    more = f"""
# {text}
"""  # a comment beside code
'''
CODE = '''class Cell:
    size: int
    def forward(self) -> None: ...
    def name(self) -> str: "a docstring on the line of its function"
    text = """

# of the text
"""
    more = f"""
# {text}
"""  # a comment beside code'''


def test_lines_that_python_ignores_are_no_code_and_lines_of_a_string_are() -> None:
    assert b"\n".join(list_code_lines(SOURCE.encode())).decode() == CODE


PROGRAM = '''"""A module.

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
    assert count_text_lines(PROGRAM, is_python=True) == 9
    stripped = "\n".join(line for line in PROGRAM.splitlines() if not line.startswith("# "))
    assert count_text_lines(stripped, is_python=True) == 9


def test_another_text_and_python_that_cannot_be_read_count_by_their_lines() -> None:
    assert count_text_lines("a = 1\n\n# b\n", is_python=False) == 2
    assert count_text_lines("def\n\n# b\n", is_python=True) == 2
