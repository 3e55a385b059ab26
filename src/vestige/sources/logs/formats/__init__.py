"""Formats that come with vestige, each a `.toml` as a user writes it for `--format my.toml`."""
