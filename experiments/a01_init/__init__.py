"""Initial weights, with and without normalisation, under two losses."""
