"""What only pages of the chapter's models have; `chapter_pages` says how their metrics are written."""
