"""Where the files of a benchmark come from, whether they are here, and how they get here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from savs_benchmarks.errors import BenchmarkError
from savs_benchmarks.files.archives import ArchiveError, is_unfinished, unpack_all

DATA_ROOT = Path("data")


@dataclass(frozen=True)
class Download:
    """A file behind an address; `digest` is "md5:..." or "sha256:...", None where nobody publishes one.

    `brings` are the patterns that match when an archive is unpacked.
    """

    url: str
    digest: str | None = None
    brings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.url.split("?")[0].rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Source:
    """The files of a benchmark: `needs` are patterns below its folder that all match something when it is here.

    They come from a repository of data sets on the Hugging Face hub (`hub`, at a pinned `revision`, the
    files that match `hub_files`; a `gated` one wants its conditions accepted first), or from `downloads`.
    Archives are unpacked where they are, then the `inner` ones that were in them. What no address gives, people
    bring: `by_hand` says how.
    """

    page: str
    revision: str
    size: str
    needs: tuple[str, ...]
    hub: str = ""
    hub_files: tuple[str, ...] = ()
    gated: bool = False
    downloads: tuple[Download, ...] = ()
    inner: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()

    def missing(self, folder: Path) -> list[str]:
        """Return the patterns that match nothing below a folder, or not all parts of a file in parts."""
        try:
            if is_unfinished(folder):
                return ["what was being unpacked when it stopped"]
            return [pattern for pattern in self.needs if not _is_whole(folder, pattern)]
        except OSError as error:
            return [f"what can be read ({error})"]

    def locate(self, folder: Path) -> Path | None:
        """Return where the files are: the folder, or the hub's own cache; None where they are not. Uses no network."""
        if not self.missing(folder):
            return folder
        cached = self._cached()
        return cached if cached and not self.missing(cached) else None

    def found_revision(self, place: Path) -> str:
        """Return the commit that files from the hub are of, "unknown" where nothing tells; of others, the version."""
        place = place.resolve()
        if not self.hub:
            return self.revision
        if place.parent.name == "snapshots":
            return place.name
        records = sorted(place.glob(".cache/huggingface/download/**/*.metadata"))
        return next((commit for record in records if (commit := record.read_text().split("\n", 1)[0])), "unknown")

    def fetch(self, folder: Path) -> None:
        """Bring the files into the folder. What is there already, if only in an archive, is not fetched again.

        Of several processes, one fetches and the others wait. Raises `BenchmarkError` with what to do where the
        hub refuses, the network fails, an archive is damaged or the folder cannot be written, and where files
        are still missing in the end: they have to come by hand.
        """
        if not self.missing(folder):
            return
        from filelock import FileLock

        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_name(f".{folder.name}.lock")):
                self._fetch(folder)
        except PermissionError as error:
            raise BenchmarkError(f"{folder} cannot be written: {error}") from None
        if missing := self.missing(folder):
            raise BenchmarkError(f"{folder} still lacks {', '.join(missing)}", list(self.by_hand))

    def _fetch(self, folder: Path) -> None:
        unpack_all(folder, self.inner)
        if not self.missing(folder):
            return
        if self.hub:
            self._fetch_from_hub(folder)
        for download in self.downloads:
            if any(not _is_whole(folder, pattern) for pattern in download.brings or (download.name,)):
                _retrieve(download, folder)
        try:
            unpack_all(folder, self.inner)
        except ArchiveError as error:
            if error.damaged:  # it came so just now: the next time it is fetched again
                error.archive.unlink()
            raise

    def steps(self, name: str, data_root: Path) -> Iterator[str]:
        """Yield what brings the files, in order: commands, and what people must do."""
        if self.gated:
            yield f"accept the conditions at {self.page} and log in: hf auth login"
        root = [] if data_root == DATA_ROOT else ["--data-root", str(data_root)]
        yield shlex.join(["savs-harvest", "data", "get", name, *root])
        yield from self.by_hand

    def _cached(self) -> Path | None:
        """Return the hub's cache of this revision; pictures beside it are links, so only Parquet files count."""
        if not self.hub or not all(pattern.endswith(".parquet") for pattern in self.needs):
            return None
        try:
            from huggingface_hub import snapshot_download
            from huggingface_hub.errors import LocalEntryNotFoundError
        except ModuleNotFoundError:
            return None
        try:
            return Path(
                snapshot_download(
                    self.hub,
                    repo_type="dataset",
                    revision=self.revision,
                    allow_patterns=list(self.hub_files),
                    local_files_only=True,
                )
            )
        except LocalEntryNotFoundError:
            return None

    def _fetch_from_hub(self, folder: Path) -> None:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import GatedRepoError

        try:
            snapshot_download(
                self.hub,
                repo_type="dataset",
                revision=self.revision,
                allow_patterns=list(self.hub_files),
                local_dir=folder,
            )
        except GatedRepoError:
            raise BenchmarkError(
                f"{self.hub} is gated: accept its conditions at {self.page}, then log in (hf auth login, or HF_TOKEN)"
            ) from None
        except Exception as error:  # its client lets errors of several libraries through
            reason = str(error).split("\n", 1)[0]
            raise BenchmarkError(
                f"{self.hub} cannot be fetched from the Hugging Face hub: {reason}",
                [f"or fetch {' '.join(self.hub_files)} from {self.page} yourself, into {folder}"],
            ) from None


def _is_whole(folder: Path, pattern: str) -> bool:
    """Tell whether files match a pattern, and all parts of those that come in parts: x-00000-of-00002."""
    files = list(folder.glob(pattern)) if pattern.endswith(".parquet") else [*islice(folder.glob(pattern), 1)]
    counts = {int(found[1]) for file in files if (found := re.search(r"-of-(\d+)\.", file.name))}
    return bool(files) and all(sum(f"-of-{count:05}." in file.name for file in files) >= count for count in counts)


def _retrieve(download: Download, folder: Path) -> None:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(download.url, download.digest, fname=download.name, path=folder, progressbar=True)
    except (OSError, ValueError) as error:  # no connection, or another digest
        raise BenchmarkError(
            f"{download.url} cannot be fetched: {error}", [f"or fetch it yourself, into {folder}"]
        ) from None
