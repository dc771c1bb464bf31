"""3D U-Net with three classes and a distance head."""

from models.unet3d.predict import UNet3DSegmenter, load_run
from models.unet3d.trainer import UNet3DTrainer

__all__ = ["UNet3DSegmenter", "UNet3DTrainer", "load_run"]
