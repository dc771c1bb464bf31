"""2D networks of segmentation-models-pytorch: several classes, slice by slice."""

from models.smp2d.predict import load_run
from models.smp2d.trainer import SMP2DTrainer

__all__ = ["SMP2DTrainer", "load_run"]
