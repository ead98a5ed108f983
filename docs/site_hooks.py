"""Pages of the site that lie elsewhere in the repository: the cards of the models, CONTRIBUTING and others; MkDocs calls this."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
NAMES = {"CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md", "CHANGELOG.md": "changelog.md"}


def elsewhere() -> dict[str, Path]:
    """Page or picture of the site -> the file that it is."""
    found = {page: ROOT / name for name, page in NAMES.items()}
    for card in sorted(ROOT.glob("models/zoo/*/card.md")):
        found[f"cards/{card.parent.name}.md"] = card
        found |= {f"cards/{card.parent.name}/{image.name}": image for image in sorted(card.parent.glob("*.png"))}
    return found


def on_files(files: Any, config: Any) -> Any:
    """Add what lies elsewhere."""
    for name, path in elsewhere().items():
        content = path.read_bytes()
        if name.startswith("cards/") and name.endswith(".md"):
            content = re.sub(rb"\]\((\w+\.png)\)", f"]({path.parent.name}/".encode() + rb"\1)", content)
        files.append(File.generated(config, name, content=content if name.endswith(".png") else content.decode()))
    return files


def on_page_markdown(markdown: str, page: Any, **rest: Any) -> str:
    """Links that lead out of docs/ lead to those pages; a list that follows a line of text is one, as it is on GitHub."""
    above = "../" * page.file.src_uri.count("/")
    markdown = re.sub(r"\]\(\.\./models/zoo/([\w-]+)/card\.md\)", rf"]({above}cards/\1.md)", markdown)
    for name, site in NAMES.items():
        markdown = markdown.replace(f"](../{name})", f"]({above}{site})")
    return re.sub(r"^((?!- |  |\||#)\S.*)\n(?=- )", r"\1\n\n", markdown, flags=re.MULTILINE)
