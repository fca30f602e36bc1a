"""The thin decorator that ties a plan to Dagster. It returns an ordinary `AssetsDefinition`.

Parameters are edges, the docstring is the description, keyword-only parameters are run configuration; partitions and
mappings stay Dagster's own objects. What it hides: IO keys, events, checks, metadata, the lock and the stage.
"""

import contextvars
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

import dagster as dg

from segassets import declaration
from segassets.declaration import Artifact, Option
from segassets.errors import PartitionRejected, SegassetsError, Skip
from segassets.findings import info, tally
from segassets.work.make import Job, Outcome, prepare

FINDINGS = "findings"
OUTPUT = "output"

#: Where the command line hears which steps had nothing to do; Dagster itself only shows a step without output.
skipped: contextvars.ContextVar[list | None] = contextvars.ContextVar("skipped", default=None)


def note_skip(asset: str, partition: str | None, reason: str) -> None:
    """Tell whoever listens that a partition had nothing to be made from."""
    heard = skipped.get()
    if heard is not None:
        heard.append((asset, partition, reason))


_registry: dict[str, Artifact] = {}
_definitions: dict[str, dg.AssetsDefinition] = {}


def registry() -> Mapping[str, Artifact]:
    """Every declared artifact, by key, in the order of declaration."""
    return _registry


def readers(key: str, partition: str | None) -> tuple[str, ...]:
    """The patterns of all raw files that an artifact, or another one of the same raw asset and partitions, reads."""
    raw, partitions = _registry[key].raw, _definitions[key].partitions_def
    patterns = (
        pattern
        for other, declared in _registry.items()
        if declared.raw == raw and _definitions[other].partitions_def == partitions
        for pattern in declared.patterns(partition)
    )
    return tuple(sorted(set(patterns)))


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
    inputs: Mapping[str, str] | None = None,
    whole_inputs: Sequence[str] = (),
    backfill: dg.BackfillPolicy | None = None,
) -> Callable[[Callable], dg.AssetsDefinition]:
    """Make an asset of a function that returns a plan.

    `into`: the target folder in the store; `{partition}`, or the names of the dimensions, may stand in it.
    `reads`: patterns of raw files, relative to the dataset's raw folder, or a function of the partition key that gives
    them; they arrive as the parameter `raw`.
    `raw`: the dataset's external asset that stands for those files; another one than `<dataset>/raw` when the
    partitions are others than its own, because Dagster knows one version of raw files a partition.
    `rows`: column names and Arrow types, when the artifact has a table beside or instead of files.
    `check(view, random)`: findings about what was made; an error rejects it. `show(view, **inputs)`: metadata.
    `inputs`: keys of upstream assets that are not called like a parameter in the same dataset.
    `whole_inputs`: parameters that take all partitions of an asset with other partitions.
    `backfill`: one run a partition unless said otherwise; a single run only for assets that nothing is made from.
    """
    prefix = key.rsplit("/", 1)[0]

    def wrap(function: Callable) -> dg.AssetsDefinition:
        parameters, options = declaration.read_signature(function)
        upstream = {name: f"{prefix}/{name}" for name in parameters if name not in declaration.RESERVED}
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
            dimensions=_dimensions(partitions),
            whole_inputs=frozenset(whole_inputs),
        )
        _registry[key] = declared
        _definitions[key] = _asset(declared, partitions, inspect.getdoc(function) or "", backfill)
        return _definitions[key]

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
        config_schema={option.name: _field(option) for option in declared.options} | _COMMON,
        io_manager_key="store",
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
    kind = kinds.get(option.kind)
    if kind is None and get_origin(option.kind) is not None and isinstance(get_args(option.kind)[0], int):
        kind = int
    default = option.default if kind is not None else (option.default or "")
    return dg.Field(kind or str, default_value=default, is_required=False, description=option.text)


def _describe(text: str, declared: Artifact) -> str:
    options = "".join(f"\n- `{option.name}`: {option.text}" for option in declared.options)
    return f"{text}\n\nPublished to `{declared.into or '.'}`." + (f"\n\nOptions (`--set`):{options}" if options else "")


def _execute(context: dg.AssetExecutionContext, declared: Artifact, handles: Mapping[str, Any]) -> Iterator[Any]:
    from segassets import ledger, runs

    runs.tag_run(context.instance, context.run_id)
    try:
        if context.has_partition_key or not context.has_partition_key_range:
            partition = context.partition_key if context.has_partition_key else None
            yield from _one(context, declared, _job(context, declared, partition, handles))
        else:
            jobs = [_job(context, declared, partition, {}) for partition in context.partition_keys]
            yield from ledger.each_partition(context, jobs)
    except SegassetsError as problem:
        raise dg.Failure(str(problem), allow_retries=False) from None


def _job(context: dg.AssetExecutionContext, declared: Artifact, partition: str | None, handles: Mapping) -> Job:
    from segassets import settings

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
        handles={name: handle for name, handle in handles.items() if name not in declared.whole_inputs},
    )


def _one(context: dg.AssetExecutionContext, declared: Artifact, job: Job) -> Iterator[Any]:
    """One partition, through the IO manager: it publishes while the lock is held."""
    from segassets.automation import observe

    try:
        yield from observe.raw_observation(context, job)
        with job.store.locked(declared.key, job.partition) as lock:
            job.workers_lock = lock.workers_path
            outcome = prepare(job)
            yield _output(outcome)
        yield from _passed(outcome)
    except Skip as nothing:
        context.log.info(f"{job.label}: skipped: {nothing}")
        note_skip(declared.key, job.partition, str(nothing))
        # No output, so that what is made from it is skipped; but Dagster insists on the results of checks.
        for spec in context.assets_def.check_specs:
            yield check_result(declared, spec.name, True, [info("skipped", str(nothing))])
    except PartitionRejected as rejected:
        # Yielded before the failure: one that is raised inside the IO manager would lose the check result.
        yield check_result(declared, FINDINGS, False, rejected.findings)
        raise


def _output(outcome: Outcome) -> dg.Output:
    from segassets import previews

    return dg.Output(
        outcome,
        data_version=dg.DataVersion(outcome.footer.data_version),
        metadata=previews.metadata(outcome),
    )


def _passed(outcome: Outcome) -> Iterator[dg.AssetCheckResult]:
    declared = outcome.job.artifact
    yield check_result(declared, FINDINGS, True, outcome.findings)
    if declared.check is not None:
        yield check_result(declared, OUTPUT, True, outcome.checked)


def check_result(declared: Artifact, name: str, passed: bool, findings: Sequence) -> dg.AssetCheckResult:
    from segassets import previews

    counts = tally(findings)
    worst = dg.AssetCheckSeverity.ERROR if counts["error"] else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(declared.key.split("/")),
        check_name=name,
        passed=passed,
        severity=worst,
        metadata={**{f"{name}s": count for name, count in counts.items()}, **previews.findings_table(findings)},
    )
