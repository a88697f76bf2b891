"""Measures of samples: modes covered (`modes`), and a small classifier of the data's own labels (`classifier`)."""
