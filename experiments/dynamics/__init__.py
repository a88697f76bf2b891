"""Games with closed forms under each rule of play, and the spectrum of a DCGAN as it trains."""
