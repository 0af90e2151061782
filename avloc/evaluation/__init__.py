"""Metrics, protocols and baselines for scoring predictions."""

from avloc.evaluation.baselines import ceiling, centred_box, random_map
from avloc.evaluation.clusters import fit_categories
from avloc.evaluation.evaluator import evaluate
from avloc.evaluation.perception import METRICS as HEARD_METRICS
from avloc.evaluation.protocols import PROTOCOLS, Protocol, get
from avloc.evaluation.results import Evaluation, compare, comparison

__all__ = [
    "HEARD_METRICS",
    "PROTOCOLS",
    "Evaluation",
    "Protocol",
    "ceiling",
    "centred_box",
    "compare",
    "comparison",
    "evaluate",
    "fit_categories",
    "get",
    "random_map",
]
