"""From a table of trials to verdicts, words and a page.

Data passes the folders in this order:

- `compare/`: a table of trials and a design → each arm beside its base, by every metric
  (`statistics/` judges a contrast; `foreign/` arranges a table from elsewhere)
- `words/`: sentences · `figures/`: pictures · `commits/`, `chapter/`: what only gates,
  audits and chains say, and only pages of the chapter have
- `page/`: the page, its tables as CSV and Markdown, and the index of pages (`templates/`: HTML,
  and what fills it)

`presentation`, `scale` and `formats` say how numbers are written.
"""
