"""What only pages of the chapter's models have.

- `chapter_pages`: how their metrics are written; `extras`: their own sections
- `book`: the values that the book prints; `roles`: accuracy by the role of a token
"""
