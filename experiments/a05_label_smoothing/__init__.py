"""Label smoothing."""
