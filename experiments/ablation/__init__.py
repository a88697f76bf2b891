"""What the sources claim of stability, over seeds: the machinery of experiments/a01_init to a16_conditional."""
