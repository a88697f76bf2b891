"""Updates of each player, and a D that begins earlier."""
