"""Diffusion models: noise processes, networks, training and samplers shared by the diffusion methods."""
