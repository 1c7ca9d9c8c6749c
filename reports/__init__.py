"""From a table of trials to verdicts, words and a page.

The modules of this folder, in the order in which data passes them:

- `design`: the arms and rules of a comparison · `trial_frame`: the table, one row a trial
- `replicates`, `evidence`: which runs are copies, and what each contrast may use
- `contrast_decisions`, `row_decisions`: verdicts look by look, or on all rows at once
- `compared_arm`, `comparison`: each arm beside its base, by every metric · `factorial`: effects of parts
- `presentation`, `scale`, `formats`: how numbers are written · `words/`: sentences · `section_rows`: rows of
  later tables
- `exports`: CSV and Markdown · `render`, `page_template`, `summary`: the page, and the index of pages
"""
