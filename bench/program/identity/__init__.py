"""What decides a program's numbers: its files, what they import, and the packages of its Python."""
