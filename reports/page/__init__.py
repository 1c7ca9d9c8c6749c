"""From a comparison to one self-contained page, with its tables and its summary as files beside it.

- `render`: the page, and the index of pages, from `reports/templates/`
- `cost_rows`, `machines`: its table of costs, and what the trials ran on
- `exports`: the tables beside it, and that of the terminal; `summary`: the page in short
"""
