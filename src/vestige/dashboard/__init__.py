"""A run on a page, and as events for pages of others: what was measured, and raw evidence replayed live."""
