"""What all trained methods share: the loop, its state for resuming, the log, several processes."""
