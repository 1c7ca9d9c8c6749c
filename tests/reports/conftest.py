"""Where tests of the reports find their made-up studies, synthetic.py."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
