"""Write the nodes' texts into `locales/*/nodeDefs.json`: `python -m benchmarks.locales`.

The English texts are the schemas'. Another language holds what has been translated; ComfyUI shows the rest in English,
and the command lists it. When an English text has changed, its translations are taken out and printed, so that they can
be mended and put back. `tests/translated_from.json` keeps the English texts that the translations were made from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from respo_train.core.files.write import write_atomically

ROOT = Path(__file__).resolve().parents[1]
LOCALES = ROOT / "locales"
HELP_PAGES = ROOT / "web" / "docs"
TRANSLATED_FROM = ROOT / "tests" / "translated_from.json"  # {name of a file: {key: English text}}
NODES, SETTINGS = "nodeDefs", "settings"
# Safety has a switch for each safety module of a computer; these are not translated.
OF_ONE_COMPUTER = ".safetensors)"

Texts = Mapping[str, str]  # {key with dots: text}


def texts_of(schema: Any) -> dict[str, str]:
    """Return what a node's schema says to people, by the keys of ComfyUI's locales."""
    found = {"display_name": schema.display_name, "description": schema.description}
    for part in schema.inputs:
        if not part.id.endswith(OF_ONE_COMPUTER):
            found |= {f"inputs.{part.id}.name": part.display_name or part.id, f"inputs.{part.id}.tooltip": part.tooltip}
    for number, part in enumerate(schema.outputs):
        found |= {f"outputs.{number}.name": part.display_name, f"outputs.{number}.tooltip": part.tooltip}
    return {f"{schema.node_id}.{key}": text for key, text in found.items()}


def english_of(nodes: Iterable[Any]) -> dict[str, str]:
    """Return the texts of all nodes."""
    return {key: text for node in nodes for key, text in texts_of(node.GET_SCHEMA()).items()}


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (key with dots, text) of a file's nested tables."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def nested(texts: Texts) -> dict[str, Any]:
    """Return texts as the nested tables of a file; the opposite of `flat`."""
    tree: dict[str, Any] = {}
    for key, text in texts.items():
        *tables, last = key.split(".")
        place = tree
        for table in tables:
            place = place.setdefault(table, {})
        place[last] = text
    return tree


def read(path: Path) -> dict[str, str]:
    """Return a file's texts, none where there is no file yet."""
    return dict(flat(json.loads(path.read_text(encoding="utf-8")))) if path.exists() else {}


def write(path: Path, tree: Mapping[str, Any]) -> None:
    """Write a file in the form that all of them have."""
    write_atomically(path, (json.dumps(tree, indent=2, ensure_ascii=False) + "\n").encode())


def update(
    english: Texts, translated_from: Texts, name: str = NODES, folder: Path = LOCALES
) -> tuple[Texts, list[str]]:
    """Bring every language's file up to date with the English texts.

    `translated_from`: the English text of each key when it was translated. Returns the same for now, and a line for
    each text that is to be translated.
    """
    before = [key for key in read(folder / "en" / f"{name}.json") if key in english]
    english = {key: english[key] for key in dict.fromkeys([*before, *english])}  # those that are there stay in place
    translated: set[str] = set()
    lines = []
    for path in sorted(folder.glob(f"*/{name}.json")):
        if path.parent.name == "en":
            write(path, nested(english))
            continue
        old = read(path)
        stale = {key for key in old if translated_from.get(key, english.get(key)) != english.get(key)}
        own = {key: old[key] for key in english if key in old and key not in stale}
        write(path, nested(own))
        translated |= own.keys()
        place = f"locales/{path.parent.name}/{name}.json"
        for key in english.keys() - own.keys():
            lines.append(f"{place}: translate {key}" + (f" again; it was {old[key]!r}" if key in stale else ""))
    return {key: text for key, text in english.items() if key in translated}, sorted(lines)


def missing_pages(english: Texts, folder: Path = HELP_PAGES) -> list[str]:
    """Return a line for each help page that a language with help pages does not have yet."""
    languages = {path.stem for path in folder.glob("*/*.md")}
    pages = {f"{key.split('.')[0]}/{language}.md" for key in english for language in languages}
    return [
        f"web/docs/{page}: translate web/docs/{page.split('/')[0]}.md"
        for page in sorted(pages)
        if not (folder / page).exists()
    ]


def main() -> None:
    """Write the files and list what is to be translated."""
    from .overhead.chain import load_pack

    english = english_of(load_pack().nodes.NODES)
    record = json.loads(TRANSLATED_FROM.read_text(encoding="utf-8"))
    lines = missing_pages(english)
    for name, texts in {NODES: english, SETTINGS: read(LOCALES / "en" / f"{SETTINGS}.json")}.items():
        record[name], more = update(texts, record[name], name)
        lines += more
    write(TRANSLATED_FROM, record)
    print("\n".join(lines) or "Everything is translated.")


if __name__ == "__main__":
    main()
