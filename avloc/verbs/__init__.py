"""What each verb of the command line does; every function imports what it needs when it runs."""

from avloc.verbs.data import build, doctor, list_all, preview
from avloc.verbs.results import evaluate, info, report, score_maps
from avloc.verbs.training import ablate, import_weights, train
from avloc.verbs.using import export, localize, separate

VERBS = {
    "data build": build,
    "data list": list_all,
    "data doctor": doctor,
    "data preview": preview,
    "train": train,
    "evaluate": evaluate,
    "score": score_maps,
    "localize": localize,
    "separate": separate,
    "export": export,
    "report": report,
    "info": info,
    "ablate": ablate,
    "import-weights": import_weights,
}
"""The function of each verb, by the verb's words. It gives an exit status, or None for 0."""
