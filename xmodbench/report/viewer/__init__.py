"""The case viewer: one slice at a time, its source, its target and every method's translation, flipped by keyboard."""
