"""What a run tells Dagster about a partition beside its output: check results, and that there was nothing to do."""

import contextvars
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from segassets import previews
from segassets.errors import Skip
from segassets.findings import Finding, info, tally
from segassets.work.job import Job
from segassets.work.make import Outcome

FINDINGS = "findings"
OUTPUT = "output"

#: Where the command line hears which steps had nothing to do; Dagster itself only shows a step without output.
skipped: contextvars.ContextVar[list | None] = contextvars.ContextVar("skipped", default=None)


def note_skip(asset: str, partition: str | None, reason: str) -> None:
    """Tell whoever listens that a partition had nothing to be made from."""
    heard = skipped.get()
    if heard is not None:
        heard.append((asset, partition, reason))


def passed(context: dg.AssetExecutionContext, outcome: Outcome) -> Iterator[Any]:
    """The results of the checks of a partition that was published."""
    yield check_result(context, outcome.job, FINDINGS, True, outcome.findings)
    if outcome.job.artifact.check is not None:
        yield check_result(context, outcome.job, OUTPUT, True, outcome.checked)


def skip(context: dg.AssetExecutionContext, job: Job, nothing: Skip) -> Iterator[Any]:
    """A partition that there is nothing to be made from: no output, so that what is made from it is skipped, too."""
    context.log.info(f"{job.label}: skipped: {nothing}")
    note_skip(job.artifact.key, job.partition, str(nothing))
    yield check_result(context, job, FINDINGS, True, [info("skipped", str(nothing))])


def checks_done(context: dg.AssetExecutionContext) -> Iterator[dg.Output]:
    """What Dagster insists on: an output of every check. Results were given before, or nothing was to be checked."""
    for spec in context.assets_def.check_specs:
        yield dg.Output(None, spec.get_python_identifier())


def about_check(findings: Sequence[Finding]) -> tuple[dg.AssetCheckSeverity, dict[str, Any]]:
    """Severity and metadata of a check's result."""
    counts = tally(findings)
    severity = dg.AssetCheckSeverity.ERROR if counts["error"] else dg.AssetCheckSeverity.WARN
    return severity, {**{f"{name}s": count for name, count in counts.items()}, **previews.findings_table(findings)}


def check_result(
    context: dg.AssetExecutionContext, job: Job, name: str, passed: bool, findings: Sequence[Finding]
) -> dg.AssetCheckEvaluation:
    """A check's result for the job's partition: in a run over a range Dagster would record one for no partition."""
    severity, metadata = about_check(findings)
    result = dg.AssetCheckResult(
        asset_key=context.asset_key, check_name=name, passed=passed, severity=severity, metadata=metadata
    )
    step = context.get_step_execution_context()
    step.wipe_input_asset_version_info(context.asset_key)  # else it speaks of the first partition of the range
    found = result.to_asset_check_evaluation(step)
    return dg.AssetCheckEvaluation(
        found.asset_key,
        name,
        passed,
        found.metadata,
        found.target_materialization_data if passed else None,
        found.severity,
        partition=job.partition,
    )
