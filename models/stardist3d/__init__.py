"""StarDist 3D: star-convex polyhedra, trained on partly verified labels (Weigert et al. 2020)."""

from models.stardist3d.segmenter import StarDist3DSegmenter, load_run
from models.stardist3d.trainer import StarDist3DTrainer

__all__ = ["StarDist3DSegmenter", "StarDist3DTrainer", "load_run"]
