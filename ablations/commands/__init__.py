"""The subcommands, a file each, and what several of them need."""
