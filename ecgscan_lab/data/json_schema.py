"""The part of JSON Schema that `data_manifests/schema.json` is written in, so that loading needs no further package."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
}
_LIMITS: dict[str, Callable[[Any, Any], bool]] = {
    "minimum": lambda value, limit: not _TYPES["number"](value) or value >= limit,
    "exclusiveMinimum": lambda value, limit: not _TYPES["number"](value) or value > limit,
    "minLength": lambda value, limit: not isinstance(value, str) or len(value) >= limit,
    "minItems": lambda value, limit: not isinstance(value, list) or len(value) >= limit,
    "maxItems": lambda value, limit: not isinstance(value, list) or len(value) <= limit,
    "pattern": lambda value, pattern: not isinstance(value, str) or re.search(pattern, value) is not None,
    "enum": lambda value, allowed: any(type(value) is type(item) and value == item for item in allowed),
}
_STRUCTURE = ("type", "$ref", "required", "properties", "additionalProperties", "items")
_SILENT = ("$schema", "$defs", "title", "description")


def schema_violations(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Say where a parsed JSON value breaks a schema.

    *Difference* from JSON Schema 2020-12: only the keywords that appear here are known, and an unknown one is an error
    rather than ignored, so that a schema never promises a check that nobody makes.

    Args:
        value: what `json.loads` returned.
        schema: the schema, as parsed JSON.
        root: the schema that `$ref` points into; `schema` itself when None.

    Yields:
        One line for each violation: the place, then what is wrong; nothing for a valid value.

    Raises:
        ValueError: the schema uses a keyword that is not known here.

    Example:
        >>> schema = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
        >>> list(schema_violations({"name": 3}, schema)), list(schema_violations({"name": "x"}, schema))
        (['name: expected string'], [])
    """
    yield from _violations(value, schema, root if root is not None else schema, "")


def _violations(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], place: str) -> Iterator[str]:
    unknown = set(schema) - set(_LIMITS) - set(_STRUCTURE) - set(_SILENT)
    if unknown:
        raise ValueError(f"the schema uses keywords that are not checked here: {sorted(unknown)}")
    if "$ref" in schema:
        yield from _violations(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, place)
    allowed = schema.get("type", [])
    allowed = [allowed] if isinstance(allowed, str) else allowed
    if allowed and not any(_TYPES[name](value) for name in allowed):
        yield f"{place or 'the whole'}: expected {' or '.join(allowed)}"
        return
    for keyword, holds in _LIMITS.items():
        if keyword in schema and not holds(value, schema[keyword]):
            yield f"{place or 'the whole'}: {keyword} {schema[keyword]!r} does not hold"
    if isinstance(value, list) and "items" in schema:
        for i, item in enumerate(value):
            yield from _violations(item, schema["items"], root, f"{place}[{i}]")
    if isinstance(value, dict):
        yield from _object_violations(value, schema, root, place)


def _object_violations(
    value: Mapping[str, Any], schema: Mapping[str, Any], root: Mapping[str, Any], place: str
) -> Iterator[str]:
    known, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{f'{place}.{name}'.lstrip('.')}: missing"
    for name, item in value.items():
        inner = f"{place}.{name}".lstrip(".")
        if name in known:
            yield from _violations(item, known[name], root, inner)
        elif rest is False:
            yield f"{inner}: unknown field"
        elif isinstance(rest, Mapping):
            yield from _violations(item, rest, root, inner)
