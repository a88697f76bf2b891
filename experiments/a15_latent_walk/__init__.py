"""Walks along one latent."""
