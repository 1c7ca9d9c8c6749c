"""Sentences on a comparison, for pages and the terminal.

- `sentences`: what a verdict says; `claims`: a line for each contrast
- `answer`: the answer to a study's question: a `headline` and `findings`, or `means` in order
- `doubts`: warnings; `caveats`: progress, declaration and limits; `notes`: how arms were compared
"""
