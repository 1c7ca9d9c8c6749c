"""A Python script as its source tells: its flags and its metrics, of which a first study is made."""
