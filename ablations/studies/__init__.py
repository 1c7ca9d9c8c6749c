"""The studies that ship, as TOML."""
