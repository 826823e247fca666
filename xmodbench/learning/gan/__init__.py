"""What the adversarial baselines share: networks, losses, batches and a training loop that resumes at any step."""
