"""An experiment from the mart to scores; all that is fitted is fitted inside each training fold."""

from ml.pipeline.dataset import Dataset, direction_labels, load_dataset
from ml.pipeline.experiment import Configuration, Experiment, ExperimentError
from ml.pipeline.walk import Evaluation, FoldResult, walk_forward

__all__ = [
    "Configuration",
    "Dataset",
    "Evaluation",
    "Experiment",
    "ExperimentError",
    "FoldResult",
    "direction_labels",
    "load_dataset",
    "walk_forward",
]
