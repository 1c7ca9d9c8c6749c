"""The files that decide a trial's numbers: hashes, modules and imports."""
