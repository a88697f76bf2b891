"""The game xy."""
