"""Remove the differences of spelling that do not matter: characters, layout, dress."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from rzero_cli.answers.conventions import DEFAULT, Conventions

SIGN = "\ue000"  # marks the name of a unit that was a sign: \ue000percent

# ---------------------------------------------------------------- characters

_LATEX = {
    "\\times ": "×", "\\cdot ": "·⋅∙•∗⋆", "/": "÷⁄∕", "\\le ": "≤≦⩽", "\\ge ": "≥≧⩾", "\\ne ": "≠",
    "\\approx ": "≈", "\\infty ": "∞", "\\sqrt ": "√", "\\sqrt[3]": "∛", "\\sqrt[4]": "∜",
    "\\pm ": "±", "\\mp ": "∓", "\\cup ": "∪", "\\cap ": "∩", "\\in ": "∈", "\\notin ": "∉",
    "\\emptyset ": "∅\u00d8⌀", "^\\circ ": "°º\u02da", "\\to ": "→", "\\Rightarrow ": "⇒",
    "\\land ": "∧", "\\lor ": "∨", "\\neg ": "¬", "\\forall ": "∀", "\\exists ": "∃",
    "\\subset ": "⊂", "\\subseteq ": "⊆", "\\setminus ": "∖", "\\angle ": "∠", "\\triangle ": "△",
    "\\parallel ": "∥", "\\perp ": "⊥", "\\lfloor ": "⌊", "\\rfloor ": "⌋", "\\lceil ": "⌈",
    "\\rceil ": "⌉", "\\langle ": "⟨〈", "\\rangle ": "⟩〉", "\\partial ": "∂", "\\int ": "∫",
    "\\sum ": "\u2211", "\\prod ": "∏", "\\nabla ": "∇", "\\equiv ": "≡", "\\cong ": "≅",
    "\\sim ": "∼", "\\Delta ": "\u2206", "\\therefore ": "∴", "\\dots ": "…⋯", "\\ell ": "ℓ",
    "\\hbar ": "ℏ", "'": "′‘’ʹ", "''": "″", '"': "“”",
    ":": "∶", ",": "、", ".": "。", "[": "【", "]": "】",
    " \\text{and} ": "且和与及", " \\text{or} ": "或", "-": "\u2212", "|": "∣", "*": "﹡",
}  # fmt: skip
_CHARACTERS = {char: latex for latex, chars in _LATEX.items() for char in chars}
_DECOMPOSED = {"<super>": "^", "<sub>": "_"}
# Units behind a number; a counter word names no unit.
_CHINESE = {
    "平方厘米": "cm^2", "平方米": "m^2", "立方厘米": "cm^3", "立方米": "m^3", "厘米": "cm",
    "毫米": "mm", "分米": "dm", "千米": "km", "公里": "km", "米": "m", "千克": "kg", "公斤": "kg",
    "克": "g", "吨": "ton", "小时": "h", "分钟": "min", "分": "min", "秒": "s", "天": "day",
    "年": "year", "月": "month", "岁": "year", "升": "l", "毫升": "ml", "元": "yuan",
    "千米/时": "km/h", "千米/小时": "km/h", "公里/时": "km/h", "公里/小时": "km/h", "米/秒": "m/s",
    "美元": "dollar", "度": "degree", "人": "person",
} | dict.fromkeys("个只本次种条张件辆名位棵颗支瓶页箱袋盒块匹朵艘架", "unit")  # fmt: skip
_CHINESE_UNIT = re.compile(rf"(?<=[\d}}]) ?({'|'.join(sorted(_CHINESE, key=len, reverse=True))})$")


def _plain(text: str) -> str:
    """Return a text in LaTeX's characters."""
    text = _CHINESE_UNIT.sub(
        lambda m: re.sub("([a-z]+)", r" \\text{\1}", _CHINESE[m[1]]), text.strip(" 。.")
    )
    text = re.sub("(?<=[①-⑳])(?=[①-⑳])", ",", text)  # choices
    text = re.sub(r"√ ?(\d+)", r"\\sqrt{\1}", text)
    written: list[str] = []
    script = ""  # the script of the characters before, whose braces are still open
    for char in text:
        tag, _, rest = unicodedata.decomposition(char).partition(" ")
        new = "" if char in _CHARACTERS else _DECOMPOSED.get(tag, "")
        if new != script:
            written.append(("}" if script else "") + (new + "{" if new else ""))
            script = new
        written.append(_character(chr(int(rest.split()[0], 16)) if new else char))
    return "".join(written) + ("}" if script else "")


@lru_cache(maxsize=4096)
def _character(char: str) -> str:
    if char.isascii():
        return char
    if char in _CHARACTERS:
        return _CHARACTERS[char]
    if unicodedata.category(char) in ("Cf", "Co"):  # zero width, byte order mark; our own marks
        return ""
    if unicodedata.category(char) == "Pd":
        return "-"
    if (digit := unicodedata.decimal(char, None)) is not None:
        return str(digit)
    name = unicodedata.name(char, "")
    if greek := re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (?:FINAL )?([A-Z]+)", name):
        letter = greek[2].lower().replace("lamda", "lambda")
        return "\\" + (letter if greek[1] == "SMALL" else letter.capitalize()) + " "
    if symbol := re.fullmatch(r"GREEK (?:LUNATE )?(PHI|THETA|EPSILON|PI|RHO|KAPPA) SYMBOL", name):
        return "\\" + symbol[1].lower() + " "
    if name.startswith("DOUBLE-STRUCK CAPITAL "):
        return rf"\mathbb{{{name[-1]}}}"
    plain = unicodedata.normalize("NFKC", char)
    if "\u2044" in plain:  # a vulgar fraction
        numerator, _, denominator = plain.partition("\u2044")
        return rf"\frac{{{numerator}}}{{{denominator}}}"
    if unit := re.fullmatch(r"([A-Za-zμ]{1,3})([23]?)", plain) if len(plain) > 1 else None:
        letters = unit[1].replace("μ", "u")
        return rf"\text{{{letters}}}" + (f"^{unit[2]}" if unit[2] else "")
    if plain != char and (len(plain) == 1 or "\u00b0" in plain):
        return "".join(map(_character, plain))
    return char


# ---------------------------------------------------------------- layout

_TRIG = r"\\(?:sin|cos|tan|cot|sec|csc)"
_DEGREE = (
    r" ?(?:\^ ?\{? ?(?:\\circ|\\(?:text|mathrm) ?\{ ?o ?\})(?![A-Za-z]) ?\}?|(?<=\d)\^(?:o|\{o\})"
    r"(?![A-Za-z])"
    r"|\\(?:text)?degrees?(?![a-z]))"
)
_SCALE = r"(?:\\(?:text|mathrm|rm) ?\{ ?([CF])\}| ?([CF])(?![A-Za-z]))?"
_CURRENCIES = {
    r"\$": "dollars", r"\textdollar": "dollars", "€": "euros", r"\euro": "euros",
    "£": "pounds", r"\pounds": "pounds", "¥": "yen", "₹": "rupees", "¢": "cents",
    "\u20bd": "rubles", "₩": "won",
}  # fmt: skip
CURRENCIES = set(_CURRENCIES.values())
_LAYOUT = (
    r"left|right|[bB]igg?[lrm]?|(?:display|text|script)style|(?:no)?limits|tiny|scriptsize"
    r"|footnotesize|small|normalsize|large|Large|LARGE|huge|Huge|bf|rm|it|therefore"
)
_THOUSAND = r" ?(?=\d{3}(?!\d))"
_ROWS = r"(?:aligned|align|alignedat|gathered|gather|equation|split|eqnarray|cases|dcases)"
_SYSTEM = re.compile(rf"\\begin ?\{{({_ROWS})\*?\}}(.*?)\\end ?\{{\1\*?\}}")
_INDEX = r"(\{[^{}]*\}|\\[A-Za-z]+|[A-Za-z0-9])"
_UNIT_DRESS = r"(?:\\(?:text|mathrm|rm) ?\{[ ~]?)?"
_BEFORE_UNIT = rf"(?<=\d) ?(?:\\[,;: ])? ?{_UNIT_DRESS}"
_TEXT_OF = r"^(?:\\text ?\{ ?)?"
_CHOSEN = r"\(?([A-J])\)?\.?\}?$"
_MOD = r"(?:\\[pb]?mod|\\(?:text|mathrm|operatorname) ?\{ ?mod ?\}|(?<![A-Za-z\\])mod(?![A-Za-z]))"
_FUNCTION_NAMES = {
    "tg": "tan", "ctg": "cot", "cotg": "cot", "arctg": "arctan", "arcctg": "arccot", "cosec": "csc",
    "sh": "sinh", "ch": "cosh", "th": "tanh", "arsinh": "arcsinh",
}  # fmt: skip


def _lines(match: re.Match[str]) -> str:
    """Return the lines of a system side by side, but leave a function defined by cases."""
    environment, lines = match[1], match[2].split(r"\\")
    if "cases" in environment and any(re.search(r"&(?! ?(?:=|\\[lg]e|<|>))", x) for x in lines):
        return match[0]
    return r" \quad ".join(line.replace("&", "") for line in lines if line.strip())


# (a substring of every match, as a cheap test; the pattern; its replacement)
_Rule = tuple[str, str, str | Callable[[re.Match[str]], str]]
_DRESS: list[_Rule] = [
    ("&", r"&(?:#\d+|#x[0-9A-Fa-f]+|[A-Za-z]+\d*);", lambda match: _plain(html.unescape(match[0]))),
    ("</", r"</?(?:b|i|em|strong|p|span|div)>", ""),
    ("color", r"\\(?:text)?color(?:box)? ?\{[^{}]*\}", ""),
    (r"\tag", r"\\tag\*? ?\{[^{}]*\}", ""),
    (r"\label", r"\\label ?\{[^{}]*\}", ""),
    ("frac", r"\\(?:nice|s|flat)frac(?![a-z])", r"\\frac"),
    (r"\begin", r"\\left ?\\\{ ?\\begin ?\{array\} ?\{l+\}(.*)\\end ?\{array\} ?\\right ?\.",
     r"\\begin{cases}\1\\end{cases}"),
    (r"\begin", _SYSTEM.pattern, _lines),
    (r"\prime", r"\^ ?\{? ?((?:\\prime ?)+)\}?", lambda match: "'" * match[1].count("prime")),
    ("{:}", r"\{:\}", ":"),
    ("Vert", r"\\[lr]?Vert(?![a-z])", r"\\|"),
    ("brack", r"\\lbrack(?![a-z])", "["),
    (r"\backslash", r"\\backslash(?![a-z])", r"\\setminus"),
    ("brack", r"\\rbrack(?![a-z])", "]"),
    (r"\operatorname", r"\\operatorname\*? ?\{ ?([a-z]+) ?\}",
     lambda match: rf"\{_FUNCTION_NAMES[match[1]]} " if match[1] in _FUNCTION_NAMES else match[0]),
    ("g", r"\\(arcc?tg|c?tg|cotg)(?![a-z])", lambda match: "\\" + _FUNCTION_NAMES[match[1]]),
    ("sqrt", r"(?<![A-Za-z\\])sqrt ?(\d+)", r"\\sqrt{\1}"),
    ("lg", r"\\lg(?![a-z])", r"\\log_{10} "),
    ("mod", rf"(?:\( ?)?{_MOD} ?(?:\\[ ,;])? ?(?:(\d+|[a-z](?![a-z]))|\{{ ?(\w+) ?\}}) ?\)?",
     r"\\pmod{\1\2}"),
    (r"\&", r"\\&", r" \\text{and} "),
    ("...", r"\.\.\.", r"\\dots "),
    ("C", r"(?:\{ ?\})?\^ ?(?:\{(\d+)\}|(\d)) ?C_ ?(?:\{(\d+)\}|(\d))", r"\\binom{\1\2}{\3\4}"),
    ("C", r"(?<![A-Za-z\\])C_ ?(?:\{(\d+)\}|(\d)) ?\^ ?(?:\{(\d+)\}|(\d))", r"\\binom{\1\2}{\3\4}"),
    ("^", rf"\^{_INDEX}_{_INDEX}", r"_\2^\1"),
    ("10", r"(?<=\d) ?[xX] ?(?=10 ?\^)", r"\\times "),
    (".", r"(\d*\.\d*)\((\d+)\)(?![\d.])", r"\1\\overline{\2}"),  # 0.1(6)
    (r"\dot", r"(\d*\.\d*)\\dot ?\{?(\d)\}?(?:(\d*)\\dot ?\{?(\d)\}?)?", r"\1\\overline{\2\3\4}"),
    (r"\over", r"(\.\d*\\overline) ?(\d)", r"\1{\2}"),
    ("<", r"^<([^<>]*,[^<>]*)>$", r"(\1)"),
    ("[", r"((?:^|[,;=]|\\cup|\\in) ?)\](?=[^\[\]]*,)", r"\1("),
    ("[", r"(?<=[^\[\]])\[(?= ?(?:$|[;,]|\\cup))", ")"),
    ("(", r"(?<=[\d}]) ?\( ?((?:\\text ?\{)?[A-Za-z ]{3,}\}?) ?\)$", r" \1"),
    ("R", r"(?<=\d) ?(?:\\text ?\{ ?R ?\}|R) ?(?=\d)", r" \\text{remainder} "),
    ("Rs", r"\\text ?\{ ?Rs\.? ?\}|(?<![A-Za-z])Rs\.? ?(?=\d)", "₹"),
    (r"\mu", rf"{_BEFORE_UNIT}\\mu ?{_UNIT_DRESS}([mgslFACVW])(?![A-Za-z])\}}?", r" \\text{u\1}"),
    ("Omega", rf"{_BEFORE_UNIT}([kM]?) ?\\Omega ?\}}?$", r" \\text{\1ohm}"),
    ("'", r"(?<=\d)'(?=\d{3}(?!\d))", ""),
    ("''", r"(?<=\d)''$", r" \\text{inches}"),
    ('"', r'(?<=\d)"$', r" \\text{inches}"),
    ("'", r"(?<=\d)'$", r" \\text{feet}"),
    ("nswer", rf"{_TEXT_OF}(?:[Tt]he )?(?:[Ff]inal )?[Aa]nswer(?: is:?|:) ?\}}?(?=.)", ""),
    ("ption", rf"{_TEXT_OF}[Oo]ption {_CHOSEN}", r"\1"),
    ("hoice", rf"{_TEXT_OF}[Cc]hoice {_CHOSEN}", r"\1"),
    ("nswer", rf"{_TEXT_OF}[Aa]nswer {_CHOSEN}", r"\1"),
    ("答案", "^答案[是为]?:? ?", ""),
    ("\\", r"^\\(?:Rightarrow|implies|Longrightarrow)(?![a-z])", ""),
    ("\\", r"(?<=[^\\])\\$", ""),
    (")", r"^([A-J])\)$", r"\1"),
    (".}", r"^\\text ?\{ ?([A-J])\. ?\}$", r"\1"),
    ("M", r"^(\d{1,2})(?: |\\[ ,])([AP]M)$", r"\1 \\text{\2}"),
    ("m", r"^(\d{1,2}) ([ap]m)$", r"\1 \\text{\2}"),
    ("US", r"^(?:USD|US ?\\?\$) ?(?=\d)", r"\\$"),
    (r"\in", r",? ?\\text ?\{ ?,? ?(?:for|where) ?\} ?(?=\$?[a-zA-Z] ?\\in(?![a-z]))", ", "),
]  # fmt: skip
_BEFORE: list[_Rule] = [  # thousands separators that cannot be a list's; degrees in a function
    ("{,", rf"(?<=\d)\{{, ?\}}{_THOUSAND}", ""),
    ("~", rf"(?<=\d)~{_THOUSAND}", ""),
    ("\\", rf"(?<=\d)(?:,\\!|\\[, ;]){_THOUSAND}", ""),
    ("\\", rf"({_TRIG} ?[({{]? ?)(\d+(?:\.\d+)?){_DEGREE}", r"\1\\frac{\2\\pi}{180}"),
]
_AFTER: list[_Rule] = [
    ("$", r"\$", " "),
    ("\\", r"(?<!\\)\\[()\[\]]", " "),
    ("\\", rf"\\(?:left|right) ?\.|\\(?:{_LAYOUT})(?![A-Za-z])", ""),
    (r"\\", r"(\\\\) ?\[ ?[\d.]+ ?(?:mm|cm|in|pt|em|ex) ?\]", r"\1"),
    (r"\cr", r"\\cr(?![a-z])", r"\\\\"),
    (r"\qquad", r"\\qquad(?![a-z])", r"\\quad"),
    ("\\", r"(?<!\\)\\[,;:! ~]|\\(?:phantom|hspace)\{[^{}]*\}", " "),
    ("~", "~", " "),
    ("\\", r"\\[dtc](frac|binom)(?![a-z])", r"\\\1 "),
    (r"\begin", r"\\begin ?\{array\} ?\{(?:@\{\})?[lcr ]*(?:@\{\})?\}", r"\\begin{matrix}"),
    (r"\end", r"\\end ?\{array\}", r"\\end{matrix}"),
    (r"\mathbb", r"\\mathbb ?(?:\{ ?R ?\}|R(?![A-Za-z]))(?! ?(?:[_^]|\\(?!mid|text|quad)))",
     r"(-\\infty,\\infty)"),
    ("<=", "<=", r"\\le "),
    (">=", ">=", r"\\ge "),
    ("=", r"\\not ?=|(?<= )!=", r"\\ne "),
    ("**", r"\*\*", "^"),
    (":", r"(?<=\d): +(?=\d\d(?!\d))", ":"),
    (":", r"(?<=:\d\d) *([AaPp][Mm])(?![A-Za-z])", r" \\text{\1}"),
    (".", r"(?<![A-Za-z.\\])(?:[A-Za-z]\.)+[A-Za-z](?![A-Za-z])\.?",  # an initialism: `p.m.`
     lambda match: rf"\text{{{match[0].replace('.', '')}}}"),
]  # fmt: skip


@lru_cache
def _rules(
    conventions: Conventions,
) -> list[tuple[str, re.Pattern[str], str | Callable[[re.Match[str]], str]]]:
    keep = conventions.units == "keep"
    degrees = r" \\text{degrees\1\2} " if keep else rf" {SIGN}degree\1\2 "
    signs: list[_Rule] = [("^", _DEGREE + _SCALE, degrees), (r"degree", _DEGREE + _SCALE, degrees)]
    by_sign = {"fraction": "*0.01 ", "drop": " " if keep else f" {SIGN}percent "}
    percent = by_sign[conventions.percent]
    signs.append(("cent", r"(?<![A-Za-z])[Pp]er ?cent(?![A-Za-z])", percent))
    signs.append(("%", r"\\?%", percent))
    for sign, name in _CURRENCIES.items():
        pattern = re.escape(sign) + ("(?![a-z])" if sign[-1].isalpha() else "")
        signs.append((sign, pattern, rf" \\text{{{name}}} " if keep else f" {SIGN}{name} "))
    rules = _DRESS + _BEFORE + signs + _AFTER
    return [(needle, re.compile(pattern), new) for needle, pattern, new in rules]


_QUOTES = ("*", "`", "'", '"')
_QUOTED = re.compile(r"([*]{1,3}|`{1,3}|'|\")(?=\S)(.*\S)\1")
_COMMAND = re.compile(
    r"\\\\(?:[dt]?frac|sqrt|text|math[a-z]+|pi|cdot|times|left|begin|pm|infty|circ|boxed|theta|alpha|beta"
    r"|lambda|sin|cos|tan|ln|log|le|leq|ge|geq|ne|neq|cup|in|overline|angle|quad|dots|approx)(?![a-z])"
    r"|\\\\[%${}(),!;:]"
)  # fmt: skip


def _single_backslashes(text: str) -> str:
    r"""Undo JSON's doubling of backslashes, where all are doubled: `\\frac{2}{7}`."""
    if _COMMAND.search(text) and all(len(run) % 2 == 0 for run in re.findall(r"\\+", text)):
        return re.sub(r"\\\\", r"\\", text)
    return text


def clean(answer: str, conventions: Conventions = DEFAULT) -> str:
    """Return an answer without layout and, unless the conventions keep them, signs of units."""
    if r"\\" in answer:
        answer = _single_backslashes(answer)
    if not answer.isascii():
        answer = _plain(answer)
    answer = " ".join(answer.split())
    if conventions.units == "keep" and len(re.findall(r"(?<!\\)\$", answer)) == 1:
        answer = answer.replace("$", r"\$").replace(r"\\$", r"\$")  # a single $ is a currency
    if answer[:1] in _QUOTES and (quoted := _QUOTED.fullmatch(answer)):
        answer = quoted[2]
    for needle, pattern, new in _rules(conventions):
        if needle in answer:
            answer = pattern.sub(new, answer)
    if r"\\" in answer and r"\begin" not in answer:
        answer = answer.replace(r"\\", r" \quad ")
    answer = " ".join(answer.split())
    return answer[:-1].strip() if answer[-1:] == "." and answer[-2:] != ".." else answer
