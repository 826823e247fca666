"""Networks of denoising diffusion GANs (Xiao et al. 2022): NCSN++ as their generator, and the judge of single steps."""
