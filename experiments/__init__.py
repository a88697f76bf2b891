"""Questions asked of many runs, each in its folder with the answer."""
