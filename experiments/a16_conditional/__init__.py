"""With and without labels."""
