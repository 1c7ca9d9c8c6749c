"""Write the page of the results of `models` that ship, of which `make pictures` makes docs/report.png."""

import argparse
from pathlib import Path

from unrolled import shipped
from unrolled.ablations.tables.study_tables import compare_study_table
from unrolled.reports.page.render import render

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the page is written, as models/index.html")
    render(compare_study_table(shipped("models")), parser.parse_args().folder)
