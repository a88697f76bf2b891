"""Noise on what D sees."""
