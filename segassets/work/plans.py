"""The four plans that carry nearly all artifacts. An asset's function returns one; `make` carries it out.

*each*: an item becomes some files and rows, in workers, batch by batch. *copy*: files that only change their place.
*fold*: rows in item order, streamed into one file. *files*: a few files, computed at once. What fits none of them is
done *by hand*, on the same stage. A plan is data: it does nothing by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from segassets.files.ref import Ref
from segassets.findings import Finding
from segassets.items import File
from segassets.store.handle import Handle

BATCH_ITEMS = 32


@dataclass(frozen=True)
class ItemBatch:
    """Items that the parent has listed: small descriptions and references, never contents."""

    items: tuple[Mapping[str, Any], ...]
    label: str

    @property
    def name(self) -> str:
        """What a person may know it by."""
        return f"{self.items[0][self.label]} to {self.items[-1][self.label]}"

    def load(self) -> Iterator[tuple[str, dict]]:
        for item in self.items:
            yield str(item[self.label]), dict(item)


@dataclass(frozen=True)
class GroupBatch:
    """A row group of an upstream table: its rows, grouped by a column, are read in the worker."""

    handle: Handle
    number: int
    by: str
    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """What a person may know it by."""
        return f"rows of {self.handle.label}, group {self.number}"

    def load(self) -> Iterator[tuple[str, dict]]:
        table = self.handle.row_group(self.number, columns=[self.by, *self.columns])
        keys = table[self.by].to_pylist()
        starts = [i for i in range(len(keys)) if i == 0 or keys[i] != keys[i - 1]]
        for start, end in zip(starts, [*starts[1:], len(keys)], strict=True):
            part = table.slice(start, end - start)
            yield str(keys[start]), {self.by: keys[start], **{name: part[name].to_pylist() for name in self.columns}}


@dataclass(frozen=True)
class Items:
    """A listed source: one dictionary an item; the function's parameters are its keys."""

    items: Sequence[Mapping[str, Any]]
    label: str
    batch_items: int = BATCH_ITEMS

    def batches(self) -> list[ItemBatch]:
        size = self.batch_items
        return [
            ItemBatch(tuple(self.items[start : start + size]), self.label) for start in range(0, len(self.items), size)
        ]


@dataclass(frozen=True)
class Groups:
    """The rows of an upstream asset, grouped: one item a value of `by`, its `columns` as lists."""

    handle: Handle
    by: str
    columns: tuple[str, ...]

    def batches(self) -> list[GroupBatch]:
        return [GroupBatch(self.handle, n, self.by, self.columns) for n in range(self.handle.row_groups)]


def groups(handle: Handle, by: str, *columns: str) -> Groups:
    """Items made of an upstream table's rows. Its row groups hold whole items: they are the batches it was made in."""
    return Groups(handle, by, columns)


@dataclass(frozen=True)
class Each:
    source: Items | Groups
    work: Callable
    constants: Mapping[str, Any]
    findings: Sequence[Finding] = ()
    packed: str | None = None
    folds: Mapping[str, Callable] = field(default_factory=dict)
    serial: bool = False


def each(
    source: Items | Groups,
    work: Callable,
    *,
    findings: Sequence[Finding] = (),
    packed: str | None = None,
    folds: Mapping[str, Callable] | None = None,
    serial: bool = False,
    **constants: Any,
) -> Each:
    """`work(**item, **constants) -> Made` for every item, in worker processes.

    `work` is an undecorated module-level function. Item values that are a `Ref` arrive as bytes. It raises BadItem
    for an item that cannot be made. `findings` are those of the listing itself: an error among them counts as a
    rejected item. `packed` names one stored zip that takes all files instead of the folder. `folds`: further files,
    each streamed from the rows that the items gave (name → a function of the records that yields bytes). `serial`:
    in this process, because the work holds something that exists once, such as a model on a GPU.
    """
    return Each(source, work, constants, findings, packed, folds or {}, serial)


@dataclass(frozen=True)
class Copy:
    items: Sequence[tuple[str, str, Ref]]
    findings: Sequence[Finding] = ()


def copy(items: Iterable[tuple[str, str, Ref]], *, findings: Sequence[Finding] = ()) -> Copy:
    """Files that only change their place: (item, path below the target folder, where the bytes are)."""
    return Copy(list(items), findings)


@dataclass(frozen=True)
class Fold:
    work: Callable[..., Iterator[bytes | Finding]]
    arguments: tuple
    name: str
    findings: Sequence[Finding] = ()


def fold(work: Callable, *arguments: Any, name: str, findings: Sequence[Finding] = ()) -> Fold:
    """One file from a stream: `work(*arguments)` yields its bytes, and findings, as it goes."""
    return Fold(work, arguments, name, findings)


@dataclass(frozen=True)
class Files:
    files: Sequence[File]
    rows: Mapping[str, list] | None = None
    findings: Sequence[Finding] = field(default=())


def files(
    contents: Mapping[str, bytes] | Sequence[File] = (),
    *,
    rows: Mapping[str, list] | None = None,
    findings: Sequence[Finding] = (),
) -> Files:
    """A few files, computed already: name → bytes, or `File` records; and rows, when the artifact is a table."""
    if isinstance(contents, Mapping):
        contents = [File(name, data) for name, data in contents.items()]
    return Files(list(contents), rows, findings)


@dataclass(frozen=True)
class ByHand:
    work: Callable
    findings: Sequence[Finding] = ()


def by_hand(work: Callable, *, findings: Sequence[Finding] = ()) -> ByHand:
    """The plain escape for what fits none of the four: `work(stage)` fills the stage by itself, whole or not at all.

    `stage` is a `BatchWriter`: `add`, `add_stream`, `concatenate`, `open`, `note`.
    """
    return ByHand(work, findings)


Plan = Each | Copy | Fold | Files | ByHand
