"""Each promise of docs/security.md, with files that try to break it."""
