"""A text encoder and its tokenizer from a folder: safetensors, strict, in single precision, or a typed error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from ecgscan_lab.errors import CheckpointError, MissingExtraError

TEXT_EXTRA = 'pip install "ecgscan-lab[text]"'
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_VOCABULARIES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model",
)  # fmt: skip
_AGAIN = "download the folder again from its publisher, or name another tower"
_CONVERT = (
    "a pickle can run code when it is opened: convert it once, in a session of its own: "
    'python -c "import torch; from safetensors.torch import save_file; '
    "w = torch.load('pytorch_model.bin', map_location='cpu', weights_only=True); "
    "save_file({k: v.clone().contiguous() for k, v in w.items()}, 'model.safetensors', {'format': 'pt'})\""
)


def load_encoder(folder: str | PathLike[str], *, pooler: bool = False) -> tuple[Any, Any]:
    """Tokenizer and encoder of a folder as transformers saves it, frozen, in `eval` mode, float32.

    The library gives random weights to every layer that a file lacks, cuts off layers that the configuration does not
    mention, and makes an empty vocabulary where none is found; all three are errors here. Heads of pre-training, which
    lie beside the encoder, may be there: they are left out. Code that comes with the weights is never run.

    Args:
        folder: holds `config.json`, `model.safetensors` (or shards with their index) and the tokenizer's files.
        pooler: whether the pooler is wanted; else it is dropped, and may be missing.

    Returns:
        The tokenizer, padding on the right, and the encoder; of an encoder-decoder only the first half.

    Raises:
        CheckpointError: something is missing, a pickle, damaged, not finite, or belongs to another model.
        MissingExtraError: transformers is not installed.
    """
    folder = Path(folder)
    _check_files(folder)
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise MissingExtraError("text encoders need transformers", field="text_tower", fix=TEXT_EXTRA) from error
    with _quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
            model, found = AutoModel.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32,
                output_loading_info=True,
            )  # fmt: skip
        except Exception as error:  # whatever the library trips over, the folder is what has to change
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise CheckpointError(f"cannot load the text encoder: {reason}", file=folder, fix=_AGAIN) from error
    _check_loaded(model, found, folder, pooler)
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    if not pooler and getattr(model, "pooler", None) is not None:
        model.pooler = None
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        raise CheckpointError(
            f"the tokenizer knows {len(tokenizer)} tokens and the encoder fewer",
            file=folder,
            fix="check that both come from the same publisher",
        )
    tokenizer.padding_side = "right"
    return tokenizer, model.requires_grad_(False).eval()


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        raise CheckpointError("no such folder", file=folder, field="weights", fix="check the path")
    names = {path.name for path in folder.iterdir()}
    if "config.json" not in names:
        raise CheckpointError("the folder has no configuration", file=folder, expected="config.json", fix=_AGAIN)
    if names.isdisjoint(_VOCABULARIES):
        raise CheckpointError(
            "the folder has no vocabulary", file=folder, expected=" or ".join(_VOCABULARIES[:2]), fix=_AGAIN
        )
    if names.isdisjoint(_WEIGHTS):
        pickled = any(Path(name).suffix in (".bin", ".pt", ".pth", ".ckpt") for name in names)
        raise CheckpointError(
            "the folder holds its weights as a pickle only" if pickled else "the folder has no weights",
            file=folder,
            expected=_WEIGHTS[0],
            fix=_CONVERT if pickled else f"{_AGAIN}. If its publisher offers a pickle only: {_CONVERT}",
        )


def _check_loaded(model: torch.nn.Module, found: dict[str, Any], folder: Path, pooler: bool) -> None:
    missing = sorted(name for name in found["missing_keys"] if pooler or not name.startswith("pooler."))
    parts = {name for name, _ in model.named_children()}
    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    # A name inside one of the encoder's own parts is a layer that would be cut off; other names are heads beside it.
    foreign = sorted(
        name for name in found["unexpected_keys"]
        if name.removeprefix(prefix).split(".")[0] in parts and not name.endswith("_ids")
    )  # fmt: skip
    wrong = [*missing, *foreign, *(str(name) for name in found["mismatched_keys"])]
    if wrong:
        counts = f"{len(missing)} missing, {len(foreign)} unexpected, {len(wrong) - len(missing) - len(foreign)} misfit"
        raise CheckpointError(
            f"the weights do not belong to this encoder ({counts})",
            file=folder,
            field=wrong[0],
            expected="every tensor that config.json asks for, and no other layer",
            fix=_AGAIN,
        )
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError("weights are not finite", file=folder, field=name, fix=_AGAIN)


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars and no tables while loading: what they would say is raised."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
