"""StarDist 2D: star-convex polygons in slices (Schmidt et al. 2018); shares `models.stardist3d`."""

from models.stardist2d.segmenter import StarDist2DSegmenter, load_run
from models.stardist2d.trainer import StarDist2DTrainer

__all__ = ["StarDist2DSegmenter", "StarDist2DTrainer", "load_run"]
