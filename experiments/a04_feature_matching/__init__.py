"""Feature matching, alone and beside the adversarial loss."""
