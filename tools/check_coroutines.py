#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails on what g++ 12 miscompiles in coroutines (CONTRIBUTING.md says what and why)."""
import pathlib
import re
import sys

LOOP = re.compile(r"\b(?:while|for)\s*\([^{};]*\bco_await\b")
CHOICE = re.compile(r"\bco_(?:await|return)\b[^;{}]*\?[^;{}]*;|\?[^;{}?]*\bco_await\b[^;{}]*;")
LAMBDA = re.compile(r"\bco_await\b[^;{}]*?\[[^\[\]]+\]\s*(?:\([^()]*\))?\s*(?:->\s*[\w:<>]+\s*)?\{")
STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*')


def blank(match):
    """Keeps the length and the line breaks, so that line numbers stay right."""
    return re.sub(r"[^\n]", " ", match[0])


IF = re.compile(r"\bif\s*(?:constexpr\s*)?\(")


def conditions(text):
    """Where an if's condition, without its initializer, has a co_await."""
    for match in IF.finditer(text):
        depth, at = 1, match.end()
        while depth and at < len(text):
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
        if "co_await" in text[match.end():at].rsplit(";", 1)[-1]:
            yield match.start()


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    bad = 0
    for top in ("userspace", "ca", "tests", "bench"):
        for path in sorted((root / top).glob("**/*.[hc]*")):
            if path.suffix not in (".h", ".cc"):
                continue
            text = STRINGS.sub(blank, path.read_text(encoding="utf-8"))
            found = []
            for pattern, what in ((LOOP, "co_await in a loop's condition"),
                                  (CHOICE, "?: in a co_await or co_return expression"),
                                  (LAMBDA, "a lambda with captures in a co_await expression")):
                for match in pattern.finditer(text):
                    found.append((match.start(), what))
            found += [(start, "co_await in an if's condition") for start in conditions(text)]
            for start, what in found:
                line = text.count("\n", 0, start) + 1
                print(f"{path.relative_to(root)}:{line}: {what}")
                bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
