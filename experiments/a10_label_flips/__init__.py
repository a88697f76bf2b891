"""Exchanged labels."""
