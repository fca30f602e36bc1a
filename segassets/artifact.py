"""The thin decorator that ties a plan to Dagster. It returns an ordinary `AssetsDefinition`.

Parameters are edges, the docstring is the description, keyword-only parameters are run configuration; partitions and
mappings stay Dagster's own objects. What it hides: IO keys, events, checks, metadata, the lock and the stage.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

import dagster as dg

from segassets import cluster, declaration, ledger, previews, runs, settings
from segassets.automation import observe
from segassets.automation.groups import POOL
from segassets.declaration import Artifact, Option
from segassets.errors import PartitionRejected, SegassetsError, Skip, plainly
from segassets.registry import declare
from segassets.reporting import FINDINGS, OUTPUT, check_result, checks_done, passed, skip
from segassets.work.job import Job
from segassets.work.make import Outcome, prepare


def artifact(
    key: str,
    partitions: dg.PartitionsDefinition | None = None,
    *,
    into: str,
    code_version: str,
    reads: str | Sequence[str] | Callable[[str], Sequence[str]] = (),
    raw: str = "raw",
    rows: Mapping[str, str] | None = None,
    max_rejected: float = 0.0,
    check: Callable | None = None,
    show: Callable | None = None,
    lacks: Callable | None = None,
    inputs: Mapping[str, str] | None = None,
    whole_inputs: Sequence[str] | Mapping[str, Callable[[str], Sequence[str]]] = (),
    backfill: dg.BackfillPolicy | None = None,
    without_raw: str | None = None,
    asked_by: str | None = None,
    where_published: Mapping[str, Callable] | None = None,
) -> Callable[[Callable], dg.AssetsDefinition]:
    """Make an asset of a function that returns a plan.

    `into`: the target folder in the store; `{partition}`, or the names of the dimensions, may stand in it.
    `reads`: patterns of raw files, relative to the dataset's raw folder, or a function of the partition key that gives
    them; they arrive as the parameter `raw`.
    `raw`: the dataset's external asset that stands for those files; another one than `<dataset>/raw` when the
    partitions are others than its own, because Dagster knows one version of raw files a partition.
    `rows`: column names and Arrow types, when the artifact has a table beside or instead of files.
    `check(view, random)`: findings about what was made; an error rejects it. `show(view, **inputs)`: metadata.
    `lacks(partition, raw)`: why a partition is made only when it is named, though there are files that it reads; or None.
    `inputs`: keys of upstream assets that are not called like a parameter in the same dataset.
    `whole_inputs`: parameters that take an asset with other partitions: all of them, by key; or, given as a mapping, those
    that a function of the own key names.
    `where_published`: parameters that take what other assets have published, if they have: name → a function of the
    options and `raw` that gives (asset, partition) pairs. They arrive by pair, those that are there; each, and its
    absence, is part of what the artifact is made from. Dagster has no such edge: it would skip the artifact without.
    `without_raw`: the option that, when it is true, makes raw files unnecessary.
    `asked_by`: the option without which there is nothing to do, as of downloads.
    `backfill`: one run a partition unless said otherwise; a single run only for assets that nothing is made from.
    """
    prefix = key.rsplit("/", 1)[0]

    def wrap(function: Callable) -> dg.AssetsDefinition:
        parameters, options = declaration.read_signature(function)
        others = {*declaration.RESERVED, *(where_published or {})}
        upstream = {name: f"{prefix}/{name}" for name in parameters if name not in others}
        upstream.update(inputs or {})

        def make(partition: str | None, arguments: Mapping[str, Any], options: Mapping[str, Any]):
            known = {**arguments, "partition": partition}
            return function(*(known[name] for name in parameters), **options)

        declared = Artifact(
            key=key,
            into=into,
            code_version=code_version,
            make=make,
            inputs=upstream,
            reads=declaration.patterns(reads),
            raw=f"{key.split('/')[0]}/{raw}",
            rows=declaration.columns(rows),
            options=options,
            max_rejected=max_rejected,
            check=check,
            show=show,
            lacks=lacks,
            dimensions=_dimensions(partitions),
            whole_inputs=whole_inputs if isinstance(whole_inputs, Mapping) else dict.fromkeys(whole_inputs),
            without_raw=without_raw,
            asked_by=asked_by,
            where_published=where_published or {},
        )
        definition = _asset(declared, partitions, inspect.getdoc(function) or "", backfill)
        declare(declared, definition)
        return definition

    return wrap


def _dimensions(partitions: dg.PartitionsDefinition | None) -> tuple[str, ...]:
    if isinstance(partitions, dg.MultiPartitionsDefinition):
        return tuple(dimension.name for dimension in partitions.partitions_defs)
    return ()


def _asset(
    declared: Artifact, partitions: dg.PartitionsDefinition | None, text: str, backfill: dg.BackfillPolicy | None
) -> dg.AssetsDefinition:
    key = dg.AssetKey(declared.key.split("/"))
    checks = [dg.AssetCheckSpec(FINDINGS, asset=key, blocking=True, partitions_def=partitions, description=_ABOUT)]
    if declared.check is not None:
        about = inspect.getdoc(declared.check)
        checks.append(dg.AssetCheckSpec(OUTPUT, asset=key, blocking=True, partitions_def=partitions, description=about))

    @dg.asset(
        key=key,
        partitions_def=partitions,
        ins={name: _input(declared, name, upstream) for name, upstream in declared.inputs.items()},
        deps=[dg.AssetKey(declared.raw.split("/"))] if declared.reads else [],
        group_name=declared.dataset,
        code_version=declared.code_version,
        description=_describe(text, declared),
        pool=POOL,
        config_schema={option.name: _field(option) for option in declared.options} | _COMMON,
        io_manager_key="store",
        required_resource_keys={"cluster"},
        output_required=False,  # a range run reports each partition by itself and has no output
        check_specs=checks,
        kinds={"segassets"},
        metadata={"published to": declared.into or "(the top of the store)"},
        backfill_policy=(backfill or dg.BackfillPolicy.multi_run(1)) if partitions is not None else None,
    )
    def body(context: dg.AssetExecutionContext, **handles: Any):
        yield from _execute(context, declared, handles)

    return body


def _input(declared: Artifact, name: str, upstream: str) -> dg.AssetIn:
    mapping = dg.AllPartitionMapping() if name in declared.whole_inputs else None
    return dg.AssetIn(key=dg.AssetKey(upstream.split("/")), partition_mapping=mapping)


_ABOUT = "What is wrong with the items of this partition; fails when more of them are rejected than allowed."
_COMMON = {
    "max_rejected": dg.Field(
        dg.Noneable(float), default_value=None, is_required=False, description="share of items that may be rejected"
    ),
    "force": dg.Field(bool, default_value=False, is_required=False, description="make it again, also when current"),
}


def _field(option: Option) -> dg.Field:
    """Dagster's form of an option; its values are checked again, with the choices, when the run begins."""
    kinds = {int: int, float: float, bool: bool}
    bare = get_args(option.kind)[0] if get_origin(option.kind) is Annotated else option.kind
    kind = kinds.get(bare)
    if kind is None and get_origin(bare) is not None and isinstance(get_args(bare)[0], int):
        kind = int
    default = option.default if kind is not None else (option.default or "")
    return dg.Field(kind or str, default_value=default, is_required=False, description=option.text)


def _describe(text: str, declared: Artifact) -> str:
    options = "".join(f"\n- `{option.name}`: {option.text}" for option in declared.options)
    return f"{text}\n\nPublished to `{declared.into or '.'}`." + (f"\n\nOptions (`--set`):{options}" if options else "")


def _execute(context: dg.AssetExecutionContext, declared: Artifact, handles: Mapping[str, Any]) -> Iterator[Any]:
    runs.tag_run(context.instance, context.run_id)
    # The backfill daemon launches a single partition, too, as a range: of one.
    partitioned = context.has_partition_key or context.has_partition_key_range
    partitions = context.partition_keys if partitioned else [None]
    try:
        if len(partitions) == 1:
            yield from _one(context, declared, _job(context, declared, partitions[0], handles))
        else:
            listings: dict = {}
            jobs = [_job(context, declared, partition, {}).share_listing(listings) for partition in partitions]
            yield from ledger.each_partition(context, jobs)
    except SegassetsError as problem:
        raise dg.Failure(str(problem), allow_retries=False) from None
    except OSError as problem:
        where = f"{declared.key} {', '.join(str(key) for key in partitions if key)}".strip()
        raise dg.Failure(f"{where}: {plainly(problem)}") from problem


def _job(context: dg.AssetExecutionContext, declared: Artifact, partition: str | None, handles: Mapping) -> Job:
    config = dict(context.op_execution_context.op_config)
    return Job(
        declared,
        partition,
        settings.load(),
        max_rejected=config.pop("max_rejected"),
        force=config.pop("force"),
        options=declared.parse_options(config),
        run_id=context.run_id,
        say=context.log.info,
        connect=cluster.joining(context),
        handles={name: handle for name, handle in handles.items() if name not in declared.whole_inputs},
    )


def _one(context: dg.AssetExecutionContext, declared: Artifact, job: Job) -> Iterator[Any]:
    """One partition, through the IO manager: it publishes while the lock is held."""
    try:
        yield from observe.raw_observation(context, job)
        with job.store.locked(declared.key, job.partition) as lock:
            job.workers_lock = lock.workers_path
            outcome = prepare(job)
            yield _output(Staged(outcome, lock))
        yield from passed(context, outcome)
    except Skip as nothing:
        yield from skip(context, job, nothing)
    except PartitionRejected as rejected:
        # Yielded before the failure: one that is raised inside the IO manager would lose the check result.
        yield check_result(context, job, FINDINGS, False, rejected.findings)
        raise
    yield from checks_done(context)


@dataclass(frozen=True)
class Staged:
    """What the IO manager gets: a finished stage, and the lock under which it is published."""

    outcome: Outcome
    lock: Any

    def publish(self) -> None:
        try:
            self.outcome.publish()
        except BaseException:
            # Dagster does not go back into the step, which would free it: it would be held until that is collected.
            self.lock.release()
            raise


def _output(staged: Staged) -> dg.Output:
    return dg.Output(
        staged,
        data_version=dg.DataVersion(staged.outcome.footer.data_version),
        metadata=previews.metadata(staged.outcome),
    )
