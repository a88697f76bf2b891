"""Two learning rates, and momentum."""
