"""What the adversarial baselines share: networks, losses, batches and a training loop that resumes at any step.

A game may have a single player: see `xmodbench.learning.paired`.
"""
