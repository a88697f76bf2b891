"""How often G moves."""
