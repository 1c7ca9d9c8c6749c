"""Tables from elsewhere, with rows of any columns: as arms whose rows are compared."""
