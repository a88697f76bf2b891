"""A labelled benchmark of failures for the doctor."""
