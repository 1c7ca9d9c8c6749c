"""From a table of trials to arms that are compared: `comparison.compare`.

- `design`: what is compared with what, and the results; `trial_frame`: these results as a table
- `replicates`: arms that computed the same, and arms that are one run; `evidence`: the numbers of a contrast
- `contrast_decisions`: verdicts, look by look; `row_decisions`: on all rows of a table at once, of which
  `row_matches` has those that were averaged
- `compared_arm`: an arm by one metric, with its verdict
- `factorial`, `sweeps`, `repeated_numbers`: what is found in a comparison
"""
