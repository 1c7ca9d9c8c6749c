"""The code of a study as git has it: the repository, and the files of one commit."""
