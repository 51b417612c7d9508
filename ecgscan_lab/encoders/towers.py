"""`image_tower`: every image tower by name, published or tiny, behind one face."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from ecgscan_lab.encoders.image import TinyImageTower
from ecgscan_lab.encoders.pixels import check_fit
from ecgscan_lab.encoders.positions import check_size
from ecgscan_lab.encoders.published import PublishedTower
from ecgscan_lab.encoders.weights import StoredTensors, load_strictly
from ecgscan_lab.errors import ArgumentError, nearest_name

if TYPE_CHECKING:
    Weights = str | os.PathLike[str] | None

NAMES = (
    "tiny",
    "clip-vit-l-14",
    "clip-vit-l-14-336",
    "clip",
    "open_clip:MODEL",
    "medsiglip-448",
    "siglip",
    "timm:NAME",
)


def image_tower(
    name: str,
    *,
    size: tuple[int, int] | None = None,
    fit: str = "letterbox",
    weights: Weights = None,
    width: int = 24,
) -> TinyImageTower | PublishedTower:
    """The image tower of that name: uint8 pages in, pooled features and patch tokens out.

    Every tower has `name`, `size`, `embed_dim` and `token_dim`; `tower(images)` is float32 `[batch, embed_dim]`, pooled
    and before any projection; `tower.tokens(images)` is `[batch, token, token_dim]`; `tower.encode(images)` gives both
    for the price of one. Pages of any size are fitted inside, and never cropped.

    | name | feature | own size | source |
    |---|---|---|---|
    | tiny | 40 x width | 192 x 448 | this package |
    | clip-vit-l-14, clip-vit-l-14-336 | 1,024 | 224, 336 | Radford et al. (2021), arXiv 2103.00020; the paper's |
    | medsiglip-448 | 1,152 | 448 | Google (2025), gated |
    | open_clip:MODEL, timm:NAME | the model's | the model's | those libraries |
    | clip, siglip | the folder's | the folder's | any `weights` folder with its config.json |

    Args:
        name: one of the above.
        size: (height, width) in pixels, multiples of the patch; the tower's own when left out. Learnt positions are
            interpolated to it; at the tower's own size they keep every bit.
        fit: how pages of another size are fitted: "letterbox" (keeps the aspect) or "squash" (fills the size).
        weights: None for random weights, the architecture only; a safetensors file or a folder on disk, loaded
            strictly; "hub" for the published weights through the model hub.
        width: of the tiny tower only.

    Raises:
        ArgumentError: unknown name, a size that does not split into patches, an unknown `fit`.
        CheckpointError: weights that are missing, damaged, a pickle, or of another tower, naming the tensors.
        FetchError: "hub" without a connection. LicenceError: "hub" for a gated tower.
        MissingExtraError: the tower's library is not installed.

    Example:
        >>> tower = image_tower("tiny", width=4)
        >>> tower.size, tower.embed_dim, tower.token_dim
        ((192, 448), 160, 32)
    """
    check_fit(fit)
    family, colon, rest = name.partition(":")
    build: Callable[..., PublishedTower]
    if name == "tiny":
        return _tiny(size, fit, weights, width)
    if name in ("clip", "clip-vit-l-14", "clip-vit-l-14-336"):
        from ecgscan_lab.encoders.clip import clip_tower as build
    elif name in ("siglip", "medsiglip-448"):
        from ecgscan_lab.encoders.siglip import siglip_tower as build
    elif colon and rest and family in ("open_clip", "timm"):
        name = rest
        if family == "timm":
            from ecgscan_lab.encoders.timm_towers import timm_tower as build
        else:
            from ecgscan_lab.encoders.open_clip_towers import open_clip_tower as build
    else:
        raise ArgumentError(
            f"unknown image tower {name!r}", field="name", expected=", ".join(NAMES), fix=nearest_name(name, NAMES)
        )
    return build(name, size=size, fit=fit, weights=weights)


def _tiny(size: tuple[int, int] | None, fit: str, weights: Weights, width: int) -> TinyImageTower:
    if weights == "hub":
        raise ArgumentError(
            "the tiny tower is not published",
            field="weights",
            expected="None or a path",
            fix="train one with ecgscan_lab.pretrain",
        )
    tower = TinyImageTower(width, check_size(size, (192, 448), (1, 1)), fit)
    if weights is not None:
        load_strictly(tower, StoredTensors(weights).read(lambda _: True), weights)
    return tower
