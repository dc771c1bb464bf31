"""The network's shape: architecture, encoder, and what its outputs mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MaxLen, MinLen

from labels.names import did_you_mean
from models.base import Kind
from models.errors import CheckpointError, ModelError

Arch = Literal["unet", "unetplusplus", "fpn", "pspnet", "deeplabv3plus", "manet", "linknet", "pan"]
Activation = Literal["softmax", "sigmoid"]

UNIVERSAL = "tu-"
"""Before the name of an encoder that comes from timm."""


@dataclass(frozen=True)
class Sides:
    """Sides in pixels that an architecture takes: multiples of one number, from another on."""

    multiple: int
    least: int

    def fitted(self, side: float) -> int:
        """Return the largest side that is taken and not above `side`, the least at least."""
        return max(int(side) // self.multiple * self.multiple, self.least)


SIDES: dict[str, Sides] = {
    "unet": Sides(32, 32),
    "unetplusplus": Sides(32, 32),
    "fpn": Sides(32, 32),
    "pspnet": Sides(8, 32),
    "deeplabv3plus": Sides(16, 32),
    "manet": Sides(32, 32),
    "linknet": Sides(32, 32),
    "pan": Sides(16, 128),  # pools three times more at a sixteenth of the size
}


@dataclass(frozen=True)
class Output:
    """What the network finds.

    Parameters
    ----------
    name : str
        Class; empty where one network of one output was taught whatever classes there were.
    kind : {"instances", "area"}
    """

    name: str
    kind: Kind


@dataclass(frozen=True)
class Architecture:
    """All that is needed to build the network again.

    Parameters
    ----------
    arch : str
    encoder : str
    outputs : tuple of Output
    activation : {"softmax", "sigmoid"}
        Whether a pixel is of one class at most, or of any number.
    channels : int
        Of the image.
    """

    arch: Arch
    encoder: str
    outputs: Annotated[tuple[Output, ...], MinLen(1), MaxLen(255)]
    activation: Activation
    channels: Annotated[int, Ge(1), Le(1024)] = 1

    @property
    def sides(self) -> Sides:
        """Which sides a patch may have."""
        return SIDES[self.arch]

    @property
    def objects(self) -> tuple[int, ...]:
        """Numbers of the outputs that are objects: these have a distance, too."""
        return tuple(i for i, output in enumerate(self.outputs) if output.kind == "instances")

    @property
    def maps(self) -> int:
        """How many maps are predicted: a probability of each output, then the distances."""
        return len(self.outputs) + len(self.objects)

    @property
    def class_logits(self) -> int:
        """How many logits the classes have; with softmax, the background's is the first."""
        return len(self.outputs) + (self.activation == "softmax")

    @property
    def logits(self) -> int:
        """How many logits the network gives: those of the classes, then the distances."""
        return self.class_logits + len(self.objects)


def check_encoder(name: str) -> None:
    """Refuse an encoder that no package has.

    Raises
    ------
    ModelError
        The message names the nearest.
    """
    import timm
    from segmentation_models_pytorch.encoders import get_encoder_names

    own = get_encoder_names()
    if name in own:
        return
    if name.startswith(UNIVERSAL) and timm.is_model(name.removeprefix(UNIVERSAL)):
        return
    known = [*own, *(UNIVERSAL + each for each in timm.list_models())]
    raise ModelError(
        f"unknown encoder {name!r}: expected one of segmentation-models-pytorch, such as "
        f"resnet18, resnet34 or efficientnet-b0, or {UNIVERSAL}NAME of one of timm"
        f"{did_you_mean(name, known)}"
    )


def build_network(architecture: Architecture) -> Any:
    """Return the network, with random weights; it maps (N, C, Y, X) to (N, logits, Y, X).

    Raises
    ------
    ModelError
        The encoder is unknown, or cannot be combined with the architecture.
    """
    import warnings

    import segmentation_models_pytorch as smp

    check_encoder(architecture.encoder)
    try:
        with warnings.catch_warnings():
            # Of names that will be other names in a later version: this one is pinned.
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            warnings.filterwarnings("ignore", module="timm")
            return smp.create_model(
                architecture.arch,
                encoder_name=architecture.encoder,
                encoder_weights=None,
                in_channels=architecture.channels,
                classes=architecture.logits,
            )
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"encoder {architecture.encoder} does not go together with arch {architecture.arch} "
            f"({reason}); take another encoder, such as resnet34"
        ) from error


def fill(network: Any, tensors: dict[str, Any], what: str) -> None:
    """Copy weights into a network.

    Raises
    ------
    CheckpointError
        The weights are of another network, or not finite.
    """
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise CheckpointError(
            f"{what}: expected finite weights, got NaN or infinity; copy the file again, or train "
            "again"
        )
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{what}: expected weights of the same architecture, encoder and outputs, got others "
            f"({reason})"
        ) from error
