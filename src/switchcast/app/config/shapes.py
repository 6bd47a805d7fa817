"""What the settings' models say about a place in the file: whether a table stands there, and which keys it takes."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel

from switchcast.app.config.locate import Path

__all__ = ["Shape", "keys_of", "nearest", "same_word", "shape_at", "shape_of", "tables_in"]

Kind = Literal["table", "tables", "list", "value"]


@dataclass(frozen=True, slots=True)
class Shape:
    """``table``: a model's keys; ``tables``: any keys, each with a value of one shape; ``list``; ``value``.

    ``inner`` is the model of a table, else the type of what is inside.
    """

    kind: Kind
    inner: Any = None


def shape_of(annotation: Any) -> Shape:
    """The shape of what ``annotation`` takes. Of several the table wins, for only that has keys to name."""
    if get_origin(annotation) is Annotated:
        return shape_of(get_args(annotation)[0])
    if get_origin(annotation) in {typing.Union, types.UnionType}:
        shapes = [shape_of(each) for each in get_args(annotation) if each is not type(None)]
        order: tuple[Kind, ...] = ("table", "tables", "list", "value")
        return min(shapes, key=lambda shape: order.index(shape.kind))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return Shape("table", annotation)
    if get_origin(annotation) is dict:
        return Shape("tables", get_args(annotation)[1])
    if get_origin(annotation) in {tuple, list, frozenset, set}:
        return Shape("list", get_args(annotation)[0])
    return Shape("value")


def shape_at(root: type[BaseModel], path: Path) -> Shape | None:
    """The shape of the place at ``path``; ``None`` where no model knows the way."""
    shape = Shape("table", root)
    for part in path:
        if shape.kind == "table":
            annotation = field_annotation(shape.inner, part)
        elif shape.kind == "value":
            return None
        else:
            annotation = shape.inner
        if annotation is None:
            return None
        shape = shape_of(annotation)
    return shape


def field_annotation(model: type[BaseModel], key: str | int) -> Any:
    """The type of the field that ``key`` names, by its name or its alias; ``None`` if there is none."""
    for name, field in model.model_fields.items():
        if isinstance(key, str) and same_word(key, field.alias or name):
            return field.annotation
    return None


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys of a table, as they are written in the file."""
    return [field.alias or name for name, field in model.model_fields.items()]


def tables_in(model: type[BaseModel]) -> dict[str, list[str]]:
    """The tables inside a table, by their keys, with the keys of each."""
    shapes = {field.alias or name: shape_of(field.annotation) for name, field in model.model_fields.items()}
    return {key: keys_of(shape.inner) for key, shape in shapes.items() if shape.kind == "table"}


def same_word(one: str, other: str) -> bool:
    """Whether two keys are the same but for case and for what an environment variable cannot hold."""
    return plain(one) == plain(other)


def plain(key: str) -> str:
    """``key`` in lower case, with ``_`` for ``-`` and ``.``."""
    return key.lower().replace("-", "_").replace(".", "_")


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown ``word``: the nearest known one, or all of them."""
    names = list(known)
    by_plain = {plain(name): name for name in names}
    if near := difflib.get_close_matches(plain(word), by_plain, n=1):
        return f"did you mean {by_plain[near[0]]}?"
    if not names:
        return "there is none"
    return f"there {'is' if len(names) == 1 else 'are'} {', '.join(names)}"
