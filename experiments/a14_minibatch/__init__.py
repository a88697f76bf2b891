"""What D knows of its batch."""
