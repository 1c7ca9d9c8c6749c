"""Lines of code and lines that Python ignores."""

from unrolled.bench.sources.code_lines import list_code_lines

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
