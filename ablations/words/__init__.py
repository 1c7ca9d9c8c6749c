"""What the words of the command do, one file a word or a few that belong together."""
