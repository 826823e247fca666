"""What trained methods share: the training loop, and the networks of diffusion models and GANs."""
