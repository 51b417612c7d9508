"""Published files through the model hub, with errors that say what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ecgscan_lab.errors import CheckpointError, EcgScanLabError, FetchError, LicenceError, MissingExtraError

TOWERS_EXTRA = 'pip install "ecgscan-lab[towers]"'


def fetch_from_hub(repository: str, filename: str, *, manifest: str | None = None) -> Path:
    """Download one file into the hub's own cache, or find it there; the hub's client renames it into place when whole.

    Args:
        repository: "owner/name" on the hub.
        filename: the file's name; a pickle is refused before anything is downloaded.
        manifest: the manifest of `data_manifests/` that says where the weights come from and on what terms.

    Returns:
        The file in the cache.

    Raises:
        FetchError: no connection, or offline mode, and the file is not in the cache.
        LicenceError: the publisher asks for an account or an agreement.
        CheckpointError: the repository has no such file, or offers a pickle only.
        MissingExtraError: the hub's client is not installed.
    """
    if not filename.endswith(".safetensors"):
        raise CheckpointError(
            "the publisher offers these weights as a pickle only",
            file=filename,
            expected="a .safetensors file",
            fix="pass a safetensors file of your own as `weights`",
        )
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise MissingExtraError("the hub's client is not installed", field="weights", fix=TOWERS_EXTRA) from error
    try:
        return Path(hf_hub_download(repository, filename))
    except Exception as error:
        raise _explained(error, f"{repository}/{filename}", manifest) from error


def fetch_folder_from_hub(
    repository: str, patterns: Sequence[str], *, manifest: str | None = None, extra: str = TOWERS_EXTRA
) -> Path:
    """Download the files of a repository that match, into the hub's own cache, or find them there.

    Args:
        repository, manifest: as in `fetch_from_hub`.
        patterns: which files, as in "*.json"; a pattern that takes pickles is not for us.
        extra: the command that installs the hub's client.

    Returns:
        The folder in the cache. Files that the repository lacks are missing in it.

    Raises:
        FetchError, LicenceError, CheckpointError, MissingExtraError: as in `fetch_from_hub`.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtraError("the hub's client is not installed", field="weights", fix=extra) from error
    try:
        return Path(snapshot_download(repository, allow_patterns=list(patterns)))
    except Exception as error:
        raise _explained(error, repository, manifest) from error


def _explained(error: Exception, file: str, manifest: str | None) -> EcgScanLabError:
    from huggingface_hub import errors as hub

    terms = (
        ""
        if manifest is None
        else f"; the licence and the publisher's own page stand in data_manifests/{manifest}.json"
    )
    what = {"file": file, "field": "weights"}
    by_hand = "or download it elsewhere and pass its path as `weights`" + terms
    if isinstance(error, hub.GatedRepoError):
        fix = f"agree on the repository's page, log in with `hf auth login`, then run again, {by_hand}"
        return LicenceError("the publisher asks for an account and an agreement", fix=fix, **what)
    if isinstance(error, hub.RepositoryNotFoundError):
        fix = f"check the name and, where the repository is not public, log in with `hf auth login`, {by_hand}"
        return CheckpointError("the hub shows no such repository", fix=fix, **what)
    if isinstance(error, hub.EntryNotFoundError) and not isinstance(error, hub.LocalEntryNotFoundError):
        return CheckpointError("the repository has no such file", fix=f"check its list of files, {by_hand}", **what)
    if isinstance(error, (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled)):
        fix = f"connect (and unset HF_HUB_OFFLINE) and run again, {by_hand}"
        return FetchError("the hub cannot be reached and its cache does not hold this", fix=fix, **what)
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return FetchError(f"the download failed: {reason}", fix=f"run again: it resumes; {by_hand}", **what)
