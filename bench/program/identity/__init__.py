"""The identity of a program: its files, the modules that they import, and the packages of its Python."""
