"""Write the page of the results of `models` that ship, of which `make pictures` makes docs/report.png."""

import sys
from pathlib import Path

from unrolled import shipped
from unrolled.ablations.tables.study_tables import compare_study_table
from unrolled.reports.page.render import render

if __name__ == "__main__":
    render(compare_study_table(shipped("models")), Path(sys.argv[1]))
