"""Four published sources run as they were written, and their claims measured."""
