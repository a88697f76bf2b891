"""Real and fake pictures in one batch or apart."""
