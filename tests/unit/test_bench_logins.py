"""What the bench's login scenarios stand on: other peers than the user, answers told apart, pairs that can be compared."""
