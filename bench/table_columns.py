"""The columns of tables of results.

The source of `bench.trial` is part of a trial's identity; that of this module is not, so that
editing it does not retrain any trial.
"""

ROWS_AVERAGED = "rows averaged"
"""The column with the number of rows of which a row is the mean."""
FIRST_LOOK = "first_look"
"""The column that says which trials of a study belong to its first look."""
STANDING = "standing"
"""The column with the standing of a trial's arm, as "exploratory, attempt 2": see `phrase_standing`."""
OTHER_TASK = "other_task"
"""The column with the settings in which the task of a trial's arm differs from the baseline's: "vocab"."""
IS_COUNTED = "counts"
"""The column that is true for the trials that verdicts and means use."""
AA_NAME = "A/A: the baseline again"
"""The name of the arm that repeats its study's baseline with other seeds."""
TABLE_COLUMNS = ("arm", "seed", "status", "reason", IS_COUNTED, ROWS_AVERAGED)
"""Columns of every table from which arms are compared."""
STUDY_COLUMNS = (
    *TABLE_COLUMNS,
    "study",
    "design",
    "baseline",
    "trial",
    "attempts",
    FIRST_LOOK,
    STANDING,
    OTHER_TASK,
)
"""Columns of a study's tables and MLflow runs: no setting and no judged metric may be called so."""
