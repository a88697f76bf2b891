"""Which recipes find every mode of the ring and the grid."""
