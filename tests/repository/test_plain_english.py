"""Words to avoid in pages, help texts (`docs/commands.md`) and docstrings, and what to write."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
AVOID = {
    r"exams?|examin\w+": "evaluate, benchmark, held-out set",
    r"beg[aiu]ns?": "start",
    r"figures": "metrics, numbers",
    r"beside|likeness|alike": "next to, as well as; similarity, similar",
    r"cut off": "truncate",
    r"sureness|(un)?sure of|unsure": "confidence, uncertain",
    r"(go|goes|went) with|by itself|of use|nothing to do": "require; the default; useful; done",
    r"have it that|(by|on) the clock": "assume, guarantee; wall-clock time",
    r"draws?|drawn|drawing": "sample",
    r"asks?|asked|asking|what is kept": "generate questions, request, prompt; the kept questions",
    r"told|tells?|said|says": "report, print, state",
    r"(come|comes|came|put) to|shares? of|its share": "result; evaluate on; fraction of",
    r"(?<=\n\n\n)(What|How|Whether|Of|Where)": "an imperative or a noun phrase first",
}
ALLOWED = r"draws? (a|the) (bar|chart|page|picture|table)s?"


def test_no_words_to_avoid() -> None:
    texts = {page: page.read_text() for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]}
    for module in ROOT.glob("src/**/*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                texts[module] = f"{texts.get(module, '')}\n\n\n{ast.get_docstring(node) or ''}"
    found = []
    for path, text in texts.items():
        prose = re.sub(rf"```.*?```|`[^`]*`|{ALLOWED}", "", text, flags=re.S)
        for words, better in AVOID.items():
            for match in re.finditer(rf"\b({words})\b", prose, flags=re.I):
                around = prose[max(0, match.start() - 40) : match.end() + 20]
                found.append(f"{path.relative_to(ROOT)}: {around!r}: {better}")
    assert not found, "\n".join(found)
