"""The zoo: one family of models a file. `registry` lists them without importing torch."""
