"""A ring GAN under each rule of play."""
