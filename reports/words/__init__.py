"""Sentences on a comparison, for pages and the terminal.

- `sentences`: what a verdict says; `contrast_lines`: a line for each contrast
- `answer`: the answer to a study's question: a `headline` and `answer_findings`, or `means` in order
- `study_state`: how far a study is; `page_warnings`: doubts about it; `page_limits`: what it cannot show
- `table_notes`: how arms were compared
"""
