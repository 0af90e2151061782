"""What MkDocs needs to know to make a site of Markdown that also reads well on a code host."""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# Folders at the top of the repository that are installed inside the package.
INSIDE = ("configs", "data_pipelines")


def on_startup(**_: Any) -> None:
    """Lays the package out as it is when installed, for mkdocstrings to read.

    At startup: later mkdocstrings has looked for the folder, and passes over one that is not there.
    """
    package = ROOT / "build" / "package" / "avloc"
    package.mkdir(parents=True, exist_ok=True)
    for link in package.iterdir():
        link.unlink()
    for source in (*(ROOT / "avloc").iterdir(), *(ROOT / name for name in INSIDE)):
        (package / source.name).symlink_to(source)


def on_page_markdown(markdown: str, config: Any, page: Any, **_: Any) -> str:
    """Links to files outside docs/ lead to the repository."""
    outside = r"\]\(" + r"\.\./" * (page.file.src_uri.count("/") + 1) + r"([^)\s]+)\)"
    markdown = re.sub(outside, rf"]({config['extra']['repository']}/blob/main/\1)", markdown)
    # GitHub wants the bars of code in a table escaped; Python-Markdown shows the backslash.
    return re.sub(r"`[^`\n]*\\\|[^`\n]*`", lambda code: code[0].replace(r"\|", "|"), markdown)


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Shapes of one axis without the space that jaxtyping's linters ask for: `" B"`."""
    if not page.file.src_uri.startswith("api/"):
        return html
    return re.sub(r"""(&#39;|&quot;|["']) (\w+)\1""", r"\1\2\1", html)
