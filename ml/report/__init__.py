"""A page about an experiment: what it is worth, said plainly, with pictures."""

from ml.report.page import write_experiment
from ml.report.summary import Summary, summarize

__all__ = ["Summary", "summarize", "write_experiment"]
