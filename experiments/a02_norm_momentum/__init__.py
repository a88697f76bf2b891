"""The decay of BatchNorm's running moments."""
