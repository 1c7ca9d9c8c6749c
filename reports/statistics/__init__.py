"""Numbers, intervals and verdicts: pure functions, independent of the pages.

- `seed_values`, `values`: the numbers of arms by seed; `arm_summary`: the mean of one arm
- `pairs`: from the values of two arms to a contrast; `contrasts`, `error_contrasts`: its tests and intervals,
  by `estimators` and `permutation`
- `corrections`, `verdicts`: from contrasts that are corrected together to verdicts
- `looks`, `look_input`, `decisions`: verdicts while results come in; `futility`: which contrasts are given up
- `gates`; `gain_test`, `proposals`, `chain_levels`: rules of a gate, and of a chain of proposals
- `power`, `expected_seeds`: what to expect of a study before it is trained
- `factorial_effects`, `speed_ratio`: effects of factors, and of two speeds
"""
