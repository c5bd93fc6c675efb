"""Repeating the comparisons of the GAN-SGDMA paper: one budget, seeded draws, our figures beside its claims."""
