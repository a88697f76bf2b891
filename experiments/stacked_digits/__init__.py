"""Which recipes find the 1,000 modes of stacked digits."""
