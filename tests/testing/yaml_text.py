# SPDX-License-Identifier: Apache-2.0
"""Writes YAML for people: Debian's Python has no YAML library, and JSON is not pleasant to edit."""
import json
import re

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9/._-]*")
# YAML 1.1 readers take these for booleans or null.
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


def _scalar(value):
    if isinstance(value, str) and (not _PLAIN.fullmatch(value) or value.lower() in _WORDS):
        return json.dumps(value)
    if isinstance(value, (bool, int, float)) or value is None:
        return json.dumps(value)
    return value


def _is_flat(value):
    return not isinstance(value, (dict, list)) or not value or (
        isinstance(value, list) and not any(isinstance(item, (dict, list)) for item in value))


def _flat(value):
    if isinstance(value, list):
        return "[" + ", ".join(str(_scalar(item)) for item in value) + "]"
    return "{}" if value == {} else str(_scalar(value))


def to_yaml(value, indent=0):
    """Block style for what nests, one line for what does not."""
    pad = " " * indent
    lines = []
    if isinstance(value, dict):
        for key, item in value.items():
            if _is_flat(item):
                lines.append(f"{pad}{_scalar(key)}: {_flat(item)}\n")
            else:
                lines.append(f"{pad}{_scalar(key)}:\n{to_yaml(item, indent + 2)}")
    else:
        for item in value:
            body = to_yaml(item, indent + 2) if not _is_flat(item) else f"{pad}  {_flat(item)}\n"
            lines.append(f"{pad}- {body[indent + 2:]}")
    return "".join(lines)
