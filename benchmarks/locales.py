"""Write the nodes' texts into every language's `locales/*/nodeDefs.json`: `python -m benchmarks.locales`.

The English ones are the schemas'. In the other languages a translation stays, what the nodes no longer have goes, and
what is new is in English until somebody translates it; the command lists these keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCALES = ROOT / "locales"
NODES = "nodeDefs.json"
# Safety has a switch for each safety module of a computer; these are not translated.
OF_ONE_COMPUTER = ".safetensors)"

Texts = dict[str, Any]  # {key: text, or Texts}


def texts_of(schema: Any) -> Texts:
    """Return what a node's schema says to people, as ComfyUI's locales write it."""
    inputs = [part for part in schema.inputs if not part.id.endswith(OF_ONE_COMPUTER)]
    outputs = {str(number): part for number, part in enumerate(schema.outputs)}
    found: Texts = {
        "display_name": schema.display_name,
        "description": schema.description,
        "inputs": {part.id: {"name": part.id, "tooltip": part.tooltip} for part in inputs},
    }
    if outputs:
        found["outputs"] = {key: {"name": part.display_name, "tooltip": part.tooltip} for key, part in outputs.items()}
    return found


def merged(english: Texts, translated: Mapping[str, Any]) -> Texts:
    """Return `english` with every text replaced that `translated` has under the same key."""
    found: Texts = {}
    for key, text in english.items():
        known = translated.get(key)
        if isinstance(text, dict):
            found[key] = merged(text, known if isinstance(known, dict) else {})
        else:
            found[key] = known if isinstance(known, str) else text
    return found


def new_keys(english: Mapping[str, Any], translated: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the keys, with dots, of the texts that `translated` does not have."""
    for key, text in english.items():
        known = translated.get(key)
        if isinstance(text, dict):
            yield from new_keys(text, known if isinstance(known, dict) else {}, f"{prefix}{key}.")
        elif not isinstance(known, str):
            yield prefix + key


def read(path: Path) -> Texts:
    """Return a file's texts, none where there is no file yet."""
    found: Texts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def written(texts: Texts) -> str:
    """Return the text of a file."""
    return json.dumps(texts, indent=2, ensure_ascii=False) + "\n"


def update(english: Texts, folder: Path = LOCALES) -> dict[str, list[str]]:
    """Write every language's file; return the keys that each language has in English because they are new."""
    found = {}
    for path in sorted(folder.glob(f"*/{NODES}")):
        own = {} if path.parent.name == "en" else read(path)
        if own:
            found[path.parent.name] = list(new_keys(english, own))
        path.write_text(written(merged(english, own)), encoding="utf-8", newline="\n")
    return found


def main() -> None:
    """Write the files and list what is to be translated."""
    from .overhead.chain import load_pack

    schemas = [node.GET_SCHEMA() for node in load_pack().nodes.NODES]
    for language, keys in update({schema.node_id: texts_of(schema) for schema in schemas}).items():
        for key in keys:
            print(f"locales/{language}/{NODES}: translate {key}")


if __name__ == "__main__":
    main()
