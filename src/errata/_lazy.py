"""Two small tools that keep ``import errata`` light: packages that can be called, and optional packages."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from errata.errors import MissingExtraError


def make_callable(module_name: str, function: Callable[..., Any]) -> None:
    """Let the module ``module_name`` be called as ``function``.

    ``errata.systems`` is a package (``errata.systems.classification.elr``) and a verb (``errata.systems()``), and so is
    ``errata.audit``. Python sets a parent's attribute to the sub-module whenever that is imported, so the two can only
    live under one name if the module itself can be called.
    """

    class CallableModule(ModuleType):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

    CallableModule.__call__.__doc__ = function.__doc__
    module = sys.modules[module_name]
    module.__class__ = CallableModule
    module.__dict__["__wrapped__"] = function  # inspect.signature and help() follow it


def optional(package: str, extra: str, what_for: str) -> Any:
    """Import an optional package, or say which extra brings it.

    Examples
    --------
    >>> optional("json", "vision", "Reading JSON").dumps(1)
    '1'
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package.split(".")[0], extra, what_for) from error
