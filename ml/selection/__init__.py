"""Choosing features: inside each training fold, with a reason for each one that goes.

A choice made on rows that are tested later is the quietest leak of all: on noise alone it gives an AUC of 0.6
and more. So every selector is a scikit-learn transformer, to be fitted by a pipeline inside each fold, and
`select_top_features` stamps the time that it has seen, in which the splitters of `ml.splits` refuse to test.
"""

from ml.selection.base import FeatureSelector, MissingExtraError, SelectionError
from ml.selection.correlation import CorrelationFilter
from ml.selection.discovery import FalseDiscoveryFilter
from ml.selection.importance import PermutationImportance, ShapImportance, TreeImportance
from ml.selection.select import Selection, select_top_features
from ml.selection.stability import stability
from ml.selection.top import TopFeatures

__all__ = [
    "CorrelationFilter",
    "FalseDiscoveryFilter",
    "FeatureSelector",
    "MissingExtraError",
    "PermutationImportance",
    "Selection",
    "SelectionError",
    "ShapImportance",
    "TopFeatures",
    "TreeImportance",
    "select_top_features",
    "stability",
]
