"""Modules that were called otherwise once: what a line that imports one is to say today."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

# They were packages of their own, and are now inside avloc.
FOLDERS = ("configs", "data_pipelines")

MOVED = {
    "avloc.evaluation.bars": "avloc.drawing.bars",
    "avloc.evaluation.charts": "avloc.drawing.charts",
    "avloc.evaluation.contact_sheet": "avloc.drawing.contact_sheet",
    "avloc.evaluation.given_maps": "avloc.scoring.given_maps",
    "avloc.evaluation.map_files": "avloc.scoring.map_files",
    "avloc.evaluation.map_scores": "avloc.scoring.map_scores",
    "avloc.evaluation.rendering": "avloc.drawing.rendering",
    "avloc.evaluation.report": "avloc.drawing.page",
    "avloc.evaluation.score_table": "avloc.scoring.score_table",
    "avloc.evaluation.timeline": "avloc.drawing.timeline",
    "avloc.inference.data_report": "avloc.reports.data",
    "avloc.inference.data_tables": "avloc.reports.data_tables",
    "avloc.inference.model_card": "avloc.reports.model_card",
    "avloc.inference.run_report": "avloc.reports.run",
    "avloc.inference.scores": "avloc.scoring.scores",
    "avloc.inference.scoring": "avloc.scoring.run",
    "avloc.training.checkpoints": "avloc.runs.checkpoints",
    "avloc.training.devices": "avloc.machine.devices",
    "avloc.training.digests": "avloc.runs.digests",
    "avloc.training.experiment": "avloc.runs.experiment",
    "avloc.training.history": "avloc.runs.history",
    "avloc.training.hosts": "avloc.machine.hosts",
    "avloc.training.run_folder": "avloc.runs.folder",
    "avloc.training.stopping": "avloc.machine.stopping",
    "avloc.training.unwritable": "avloc.runs.unwritable",
    "avloc.training.weight_files": "avloc.runs.weight_files",
    "data_pipelines.audio": "avloc.data_pipelines.media.audio",
    "data_pipelines.doctor": "avloc.data_pipelines.checks.doctor",
    "data_pipelines.features": "avloc.data_pipelines.records.features",
    "data_pipelines.fingerprint": "avloc.data_pipelines.records.fingerprint",
    "data_pipelines.image": "avloc.data_pipelines.media.image",
    "data_pipelines.imperfect": "avloc.data_pipelines.scenes.imperfect",
    "data_pipelines.inspection": "avloc.data_pipelines.checks.inspection",
    "data_pipelines.mixing": "avloc.data_pipelines.scenes.mixing",
    "data_pipelines.preview": "avloc.data_pipelines.checks.preview",
    "data_pipelines.record_check": "avloc.data_pipelines.checks.records",
    "data_pipelines.records": "avloc.data_pipelines.records.reading",
    "data_pipelines.scene_plan": "avloc.data_pipelines.scenes.plan",
    "data_pipelines.splits": "avloc.data_pipelines.records.splits",
    "data_pipelines.tracks": "avloc.data_pipelines.media.tracks",
    "data_pipelines.video": "avloc.data_pipelines.media.video",
    "data_pipelines.youtube_clips": "avloc.data_pipelines.media.youtube_clips",
}


def spelling_of_today(file: Path, line: int, error: ImportError) -> tuple[str, str] | None:
    """The import at a line of a file that failed, and the one to write; None: not an old name."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom) and node.lineno <= line <= node.end_lineno:
            gone = isinstance(error, ModuleNotFoundError)
            new = _import(node) if isinstance(node, ast.Import) else _import_from(node, gone)
            old = ast.unparse(node)
            return (old, new) if new != old else None
    return None


def _import(node: ast.Import) -> str:
    names = [ast.alias(_today(name.name) or name.name, name.asname) for name in node.names]
    return ast.unparse(ast.Import(names))


def _import_from(node: ast.ImportFrom, gone: bool) -> str:
    """Says `from` with the names of today; `gone`: a module was not found, not a name in one."""
    if node.level:
        return ast.unparse(node)
    # Of the packages at the top, nothing but modules was imported.
    parent = _today(node.module) if gone and node.module not in FOLDERS else None
    lines: dict[str, list[ast.alias]] = {}
    for name in node.names:
        module, leaf = parent or node.module, name.name
        if today := _today(f"{node.module}.{name.name}"):
            module, _, leaf = today.rpartition(".")
        called = name.asname or name.name
        alias = ast.alias(leaf, called if called != leaf else None)
        lines.setdefault(module, []).append(alias)
    return "; ".join(ast.unparse(ast.ImportFrom(module, n, 0)) for module, n in lines.items())


def _today(module: str) -> str | None:
    """What a module is called today; None: this is no old name of one."""
    if module.partition(".")[0] in FOLDERS and module not in MOVED:
        inside = f"avloc.{module}"
        try:
            return inside if importlib.util.find_spec(inside) else None
        except ModuleNotFoundError:  # nor is what it would lie in
            return None
    return MOVED.get(module)
