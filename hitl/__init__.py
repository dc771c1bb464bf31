"""Human-in-the-loop segmentation of nuclei in 3D fluorescence stacks."""

__version__ = "0.1.0"
