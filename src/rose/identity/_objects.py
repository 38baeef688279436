"""Digest objects: by the fields that their classes declare, or by what they would pickle.

No library is imported here for its classes' sake: they are known by what they have.
"""

from __future__ import annotations

import copyreg
import dataclasses
import enum
import functools
import random
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from rose.identity._arrays import encode_array, encode_sparse, encode_tensor, is_array, is_sparse, is_tensor
from rose.identity._tables import encode_table, is_table
from rose.identity.digest import class_name, node, reference
from rose.identity.walk import Walk


class NoValue(Exception):
    """Say that an object has no canonical form; the text says why."""


def encode_object(walk: Walk, value: Any) -> bytes:
    """Return the digest of what is neither an atom nor a container.

    Raises:
        NoValue: if it has no canonical form.
    """
    for is_one, encode in _KINDS:
        if is_one(value):
            return encode(walk, value)
    return _pickled(walk, value)


# --- what is known by its name -----------------------------------------------------------------------------------


def _function(walk: Walk, value: Any) -> bytes:
    made = None if walk.functions is None else walk.functions(value)
    if made is not None:
        return node("function", made)
    if "<" in value.__qualname__:
        raise NoValue("a function that is defined inside another has no name of its own")
    return reference(value)


def _class(walk: Walk, value: Any) -> bytes:
    made = None if walk.functions is None else walk.functions(value)
    return reference(value) if made is None else node("function", made)


def _method(walk: Walk, value: Any) -> bytes:
    return node("method", walk.child(value.__func__, ".__func__") + walk.child(value.__self__, ".__self__"))


def _partial(walk: Walk, value: Any) -> bytes:
    parts = walk.child(value.func, ".func"), walk.child(value.args, ".args"), walk.child(value.keywords, ".keywords")
    return node("partial", b"".join(parts))


def _member(walk: Walk, value: Any) -> bytes:
    cls = node("class", class_name(type(value)).encode())
    if isinstance(value, enum.Flag):
        return node("flag", cls + walk.child(value.value, ".value"))
    return node("member", cls + walk.child(value.name, ".name") + walk.child(value.value, ".value"))


# --- what declares its fields ------------------------------------------------------------------------------------


def declared_fields(value: Any) -> list[tuple[str, Any]] | None:
    """Return the fields that an object's class declares, with what they hold; None: it declares none.

    >>> declared_fields(SimpleNamespace(T=300)) is None
    True
    """
    return next((list(held(value)) for is_one, held in _DECLARING if is_one(value)), None)


def _declaring(walk: Walk, value: Any) -> bytes:
    return walk.attributes(type(value), declared_fields(value) or [])


def _is_namedtuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(type(value), "_fields")


def _pydantic(value: Any) -> list[tuple[str, Any]]:
    """Return a pydantic model's fields, extra fields and private attributes; not which of them were set."""
    fields = type(value).model_fields
    held = [(name, one) for name, one in value.__dict__.items() if name in fields]
    for others in (getattr(value, "__pydantic_extra__", None), getattr(value, "__pydantic_private__", None)):
        held += (others or {}).items()
    return held


def _is_pydantic_v1(value: Any) -> bool:
    return hasattr(type(value), "__private_attributes__") and hasattr(value, "__fields_set__")


def _pydantic_v1(value: Any) -> list[tuple[str, Any]]:
    return [*value.__dict__.items(), *_held(value, type(value).__private_attributes__)]


_DECLARING: tuple[tuple[Callable[[Any], bool], Callable[[Any], Iterable[tuple[str, Any]]]], ...] = (
    (_is_namedtuple, lambda value: zip(type(value)._fields, value, strict=True)),
    (lambda value: hasattr(type(value), "__pydantic_private__"), _pydantic),
    (_is_pydantic_v1, _pydantic_v1),
    (
        lambda value: dataclasses.is_dataclass(value),
        lambda value: _held(value, [field.name for field in dataclasses.fields(value)]),
    ),
    (
        lambda value: hasattr(type(value), "__attrs_attrs__"),
        lambda value: _held(value, [field.name for field in type(value).__attrs_attrs__]),
    ),
    (
        lambda value: hasattr(type(value), "__struct_fields__"),
        lambda value: _held(value, type(value).__struct_fields__),
    ),
)


def _is_estimator(value: Any) -> bool:
    return callable(getattr(type(value), "get_params", None)) and callable(getattr(type(value), "set_params", None))


def _estimator(walk: Walk, value: Any) -> bytes:
    """Digest an estimator as scikit-learn has them: parameters, and what `fit` has left, which is called `name_`."""
    try:
        parameters = value.get_params(deep=False)
    except Exception:  # it has the method, and no parameters that it tells: an object as others are
        return _pickled(walk, value)
    learned = {n: v for n, v in getattr(value, "__dict__", {}).items() if n.endswith("_") and not n.startswith("_")}
    return walk.attributes(type(value), [*parameters.items(), *learned.items()])


def _namespace(walk: Walk, value: Any) -> bytes:
    return walk.attributes(type(value), vars(value).items())


def _held(value: Any, names: Any) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of these names that it has: one may be declared, and never set."""
    missing = object()
    for name in names:
        if (found := getattr(value, name, missing)) is not missing:
            yield name, found


# --- what has a state --------------------------------------------------------------------------------------------


def _bit_generator(walk: Walk, value: Any) -> bytes:
    return node("generator", walk.child(value.state, ".state"))


def _generator(walk: Walk, value: Any) -> bytes:
    return node("generator", walk.child(value.bit_generator.state, ".bit_generator.state"))


def _random_state(walk: Walk, value: Any) -> bytes:
    if value is np.random.mtrand._rand:  # NumPy's own, that distributions of scipy hold: another in each process
        return node("random state", b"NumPy's own")
    return node("random state", walk.child(value.get_state(legacy=False), ".get_state()"))


def _seed_sequence(walk: Walk, value: Any) -> bytes:
    return walk.attributes(type(value), value.state.items())


def _random(walk: Walk, value: Any) -> bytes:
    return walk.attributes(type(value), [("state", value.getstate())])


def _of_sets(walk: Walk, value: Any) -> bytes:
    return node("derived", walk.attributes(type(value), _own(value)) + walk.unordered(iter(value)))


def _array_of_class(walk: Walk, value: Any) -> bytes:
    """Digest an array; one of somebody's class (with a unit, say) is that class and its attributes too."""
    digest = encode_array(walk, value)
    if type(value).__module__.partition(".")[0] == "numpy":
        return digest
    return node("derived", walk.attributes(type(value), _own(value)) + digest)


def _own(value: Any) -> list[tuple[str, Any]]:
    """Return the attributes of an object itself, but not what it has computed and kept."""
    return [(name, one) for name, one in getattr(value, "__dict__", {}).items() if not _is_cached(type(value), name)]


def _is_cached(cls: type, name: str) -> bool:
    return any(isinstance(vars(base).get(name), functools.cached_property) for base in cls.__mro__)


def _pickled(walk: Walk, value: Any) -> bytes:
    """Digest an object by what pickling would keep of it; a plain object's attributes are that."""
    cls = type(value)
    if isinstance(value, Iterator) and not hasattr(value, "__dict__"):
        raise NoValue("an iterator gives its values once; a list can be given")
    try:
        # Some libraries register their own way to pickle exceptions, for all, once they are imported.
        registered = None if isinstance(value, BaseException) else copyreg.dispatch_table.get(cls)
        reduced = value.__reduce_ex__(4) if registered is None else registered(value)
    except Exception as error:
        raise NoValue(f"{type(error).__name__}: {error}") from error
    if isinstance(reduced, str):
        return (
            _function(walk, value) if callable(value) and hasattr(value, "__wrapped__") else reference(value, reduced)
        )
    function, args, state, items, pairs = (*reduced, None, None, None)[:5]
    if function in (copyreg.__newobj__, copyreg.__newobj_ex__, copyreg._reconstructor):  # type: ignore[attr-defined]
        made = walk.child(tuple(args[1:]), " (what makes it)")
    else:
        made = node("made", walk.child(function, " (what makes it)") + walk.child(tuple(args), " (what makes it)"))
    return node(
        "object",
        node("class", class_name(cls).encode())
        + made
        + _state(walk, cls, state)
        + walk.sequence(items or ())
        + walk.mapping(pairs or ()),
    )


def _state(walk: Walk, cls: type, state: Any) -> bytes:
    attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    whole = (
        {**(attributes or {}), **slots}
        if isinstance(slots, dict) and isinstance(attributes, dict | None)
        else attributes
    )
    if (slots is not None and not isinstance(slots, dict)) or (whole is not None and not isinstance(whole, dict)):
        return walk.child(state, " (its state)")
    held = (whole or {}).items()
    return walk.mapping([(n, v) for n, v in held if not (isinstance(n, str) and _is_cached(cls, n))], attributes=True)


_KINDS: tuple[tuple[Callable[[Any], bool], Callable[[Walk, Any], bytes]], ...] = (
    (lambda value: isinstance(value, type), _class),
    (lambda value: isinstance(value, FunctionType), _function),
    (lambda value: isinstance(value, MethodType), _method),
    (lambda value: isinstance(value, functools.partial), _partial),
    (lambda value: isinstance(value, ModuleType), lambda walk, value: node("module", value.__name__.encode())),
    (lambda value: isinstance(value, enum.Enum), _member),
    (is_array, _array_of_class),
    (is_tensor, encode_tensor),
    (is_sparse, encode_sparse),
    (is_table, encode_table),
    (lambda value: any(is_one(value) for is_one, _ in _DECLARING), _declaring),
    (_is_estimator, _estimator),
    (lambda value: isinstance(value, SimpleNamespace), _namespace),
    (lambda value: isinstance(value, np.random.Generator), _generator),
    (lambda value: isinstance(value, np.random.RandomState), _random_state),
    (lambda value: isinstance(value, np.random.BitGenerator), _bit_generator),
    (lambda value: isinstance(value, np.random.SeedSequence), _seed_sequence),
    (lambda value: isinstance(value, random.Random) and type(value) is not random.SystemRandom, _random),
    (lambda value: isinstance(value, (set, frozenset)), _of_sets),
)
