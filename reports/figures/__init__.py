"""Pictures: every one an SVG that follows the reader's colours."""
