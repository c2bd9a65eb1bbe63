"""What every client of a federation is told once: the system, the network, how inputs are encoded, the classes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from errata import systems
from errata.engine.randomness import mixed_seed
from errata.errors import LoadError, ParameterError, UnknownNameError
from errata.parts import Views
from errata.parts.federated import FederatedSystem

__all__ = ["Spec", "make_system"]


@dataclass(frozen=True)
class Spec:
    """A federation's common ground, in plain JSON types; weights travel apart.

    Attributes
    ----------
    system, settings : the slug and its hyper-parameters
    model : how to build the network (``errata.models``)
    encoder : how to encode inputs (``errata.data``)
    classes : the K class names
    seed : of everything drawn
    """

    system: str
    settings: dict[str, Any]
    model: dict[str, Any]
    encoder: dict[str, Any]
    classes: list[Any]
    seed: int = 0

    def to_json(self) -> str:
        """As text, to be sent."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """From what ``to_json`` gave.

        Raises
        ------
        LoadError
            where it is damaged, or of another version
        """
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise LoadError(f"The federation's description is damaged, or of another version: {error}.") from error

    def build_system(self) -> FederatedSystem:
        """The system, with its hyper-parameters."""
        return make_system(self.system, self.settings)

    def build_model(self) -> nn.Module:
        """The network, with the initial weights that the seed gives."""
        from errata import models

        about = self.model
        return models.build(about["name"], **about["kwargs"], seed=mixed_seed(self.seed, 1))

    def build_encoder(self) -> Any:
        """What encodes inputs."""
        from errata.data import encoder_from_spec

        return encoder_from_spec(self.encoder)

    def views(self) -> Views:
        """The views of encoded inputs, nothing random in the plain one."""
        return self.build_encoder().views(augment=False)


def make_system(slug: str, settings: Mapping[str, Any]) -> FederatedSystem:
    """A federated system by its slug.

    Raises
    ------
    UnknownNameError
        for a hyper-parameter that it does not have
    ParameterError
        for a system of another kind

    Examples
    --------
    >>> make_system("fedlabel", {"beta": 0.5}).beta
    0.5
    """
    kind = systems.load(slug)
    if not (isinstance(kind, type) and issubclass(kind, FederatedSystem)):
        raise ParameterError(
            f"'{slug}' is no federated system; `errata systems --task federated` lists them. Train it with "
            "errata.train."
        )
    known = kind.hyperparameters()
    for name in settings:
        if name not in known:
            raise UnknownNameError(f"hyper-parameter of '{slug}'", name, known)
    return kind(**settings)
