"""A Python script as its source has it: its flags and its metrics, of which a first study is made."""
