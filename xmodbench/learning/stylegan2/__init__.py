"""StyleGAN2-ADA and in-domain inversion, written from the papers: what the plugins that use them have in common.

Karras et al., Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020; Karras et al., Training Generative
Adversarial Networks with Limited Data, NeurIPS 2020; Zhu et al., In-Domain GAN Inversion for Real Image Editing, ECCV 2020.
"""
