"""`segassets materialize`: what it makes, skips and refuses, and how it says so."""

from __future__ import annotations

import dagster as dg
import pytest

from segassets.commands.materialize import Event, shortened
from segassets.runs import PROCESS_TAG, process_tag
from segassets_tests.dagster.platform import OTHER, SHARD, SHARD_ASSETS, Platform, shard, touch


def test_a_dataset_is_made_in_the_order_of_its_inputs_and_the_second_time_is_current(fresh: Platform, call):
    said = call("materialize", "sa1b")
    assert (said.status, said.err) == (0, "")
    made = [line.split(":")[0].split(maxsplit=1)[1] for line in said.lines if line.startswith("made")]
    assert set(made) >= {f"sa1b/{name} {SHARD}" for name in SHARD_ASSETS} | {"sa1b/eval_manifest camo"}
    assert made.index(f"sa1b/shard_index {SHARD}") < made.index(f"sa1b/mask_table {SHARD}")
    assert made.index(f"sa1b/mask_table {SHARD}") < made.index(f"sa1b/masks {SHARD}")
    assert "skipped  sa1b/captions sa_000001: there is no captions/sa_000001-blip2-caption.json" in said.out
    assert "25 partitions without raw input" in said.out and "skipped  sa1b: no *.txt or *.tsv" in said.out
    again = call("materialize", "sa1b")
    assert again.status == 0 and "nothing to do" in again.out
    assert not any(line.startswith("made") for line in again.lines)


def test_only_what_is_out_of_date_is_made_again(made: Platform, call):
    shard(made.tar, first=1, masks=2)
    said = call("materialize", "sa1b/masks", "--partition", SHARD)
    assert said.status == 0
    assert [line.split(":")[0].split() for line in said.lines] == [
        ["made", f"sa1b/{name}", SHARD] for name in ("shard_index", "mask_table", "masks")
    ]
    touch(made.tar)
    said = call("materialize", "sa1b/masks", "--partition", SHARD)
    assert said.status == 0 and "sa1b/mask_table" in said.out


def test_dry_run_says_what_would_be_made_and_makes_nothing(fresh: Platform, call):
    said = call("materialize", "sa1b/masks", "--dry-run")
    assert said.status == 0
    assert said.planned() == {f"sa1b/{n} {s}" for n in ("shard_index", "mask_table", "masks") for s in (SHARD, OTHER)}
    assert not fresh.store.exists()


def test_only_and_force(made: Platform, call):
    assert call("materialize", "sa1b/masks", "--partition", SHARD, "--only", "--dry-run").planned() == set()
    forced = call("materialize", "sa1b/masks", "--partition", SHARD, "--force", "--dry-run")
    assert forced.planned() == {f"sa1b/masks {SHARD}"}, "not what it is made from"
    said = call("materialize", "sa1b/masks", "--partition", OTHER, "--only")
    assert said.status == 1 and said.out == ""
    assert "sa1b/mask_table sa_000001 has not been made; run: segassets materialize sa1b/mask_table" in said.err


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        ("sa1b/masks+", {"masks"}),
        ("+sa1b/masks", {"mask_table", "masks"}),
        ('+key:"sa1b/masks"', {"shard_index", "mask_table", "masks"}),
        ('key:"sa1b/m*"', {"mask_table", "masks"}),
        ("sa1b/mask_table+", {"mask_table", "masks", "control_images", "coco"}),
        ('key:"sa1b/mask_table"+', {"mask_table", "masks", "control_images", "coco", "controlnet_train", "webdataset"}),
        ("group:sa1b", {"shard_index", *SHARD_ASSETS}),
    ],
)
def test_selections_are_dagsters_own_where_plus_is_one_step_of_a_plain_key(
    made_once: Platform, monkeypatch, call, selection, names
):
    made_once.use(monkeypatch)
    said = call("materialize", selection, "--only", "--force", "--dry-run", "--partition", SHARD)
    assert said.status == 0
    assert said.planned() == {f"sa1b/{name} {SHARD}" for name in names}


def test_a_partition_of_a_dataset_skips_and_names_the_assets_that_have_none_of_it(made_once, monkeypatch, call):
    made_once.use(monkeypatch)
    said = call("materialize", "sa1b", "--partition", SHARD)
    assert said.status == 0
    for name in ("download", "eval_manifest", "tuning_manifest"):
        assert f"skipped  sa1b/{name}: has no partition {SHARD}" in said.lines
    assert made_once.catalogue().instance.get_dynamic_partitions("sa1b_adversarial_runs") == []


def test_a_rejected_shard_fails_with_everything_one_needs_and_what_follows_is_not_tried(fresh: Platform, call):
    shard(fresh.tar, first=1, bad=2)
    said = call("materialize", "sa1b/masks", "--partition", SHARD)
    assert said.status == 1
    assert said.err.startswith(f"failed   sa1b/shard_index {SHARD}\n")
    assert "2 of 6 items rejected, allowed are 1.00% (--max-rejected)" in said.err
    assert "sa_000000.tar, ./sa_1.json" in said.err
    assert f"skipped  sa1b/masks {SHARD}: not tried, because what it is made from failed" in said.lines
    said = call("materialize", "sa1b/masks", "--partition", SHARD, "--max-rejected", 0.5)
    assert said.status == 0 and "findings: 2 errors" in said.out
    assert call("materialize", "sa1b/masks", "--partition", SHARD).status == 1, "the limit is the usual one again"


def test_options_reach_the_assets_that_have_them(made: Platform, call):
    said = call("materialize", "sa1b", "--partition", SHARD, "--set", "packing=zip", "--set", "png_depth=2")
    assert said.status == 0
    assert [line.split(":")[0] for line in said.lines if line.startswith("made")] == [f"made     sa1b/masks {SHARD}"]
    assert (made.store / f"sam-1b/{SHARD}-masks.zip").exists()
    assert not list((made.store / f"sam-1b/{SHARD}").glob("*/segmentation_*.png")), "nothing stale is left behind"


def test_wrong_calls_have_status_2_and_say_what_would_be_right(made_once: Platform, monkeypatch, call):
    made_once.use(monkeypatch)

    def wrong(*arguments) -> str:
        said = call("materialize", *arguments)
        assert (said.status, said.out) == (2, "")
        return said.err

    assert "did you mean sa1b" in wrong("sa1c")
    assert "did you mean sa1b/masks" in wrong("sa1b/mask")
    assert "matches no asset" in wrong('key:"nothing*"')
    assert "is no asset selection" in wrong("sa1b/masks and (")
    assert f"known are {SHARD}, {OTHER}" in wrong("sa1b/masks", "--partition", "sa_000099")
    assert "none of the selected assets has it" in wrong("sa1b/masks", "--partition", "../..")
    assert "0<=x<=1" in wrong("sa1b", "--max-rejected", "1.5")
    assert "is not a valid float" in wrong("sa1b", "--max-rejected", "much")
    assert "files | zip" in wrong("sa1b/masks", "--set", "packing=tar")
    assert "8 | 2 | 1" in wrong("sa1b/masks", "--set", "png_depth=3")
    assert "'packing' is not NAME=VALUE" in wrong("sa1b/masks", "--set", "packing")
    unknown = wrong("sa1b/masks", "--set", "colour=red")
    assert "no selected asset has this option" in unknown and "png_depth" in unknown
    assert "Missing argument" in wrong()
    assert "No such option" in wrong("sa1b", "--frobnicate")


def test_no_partition_that_was_named_in_vain_is_registered(made: Platform, call):
    assert call("materialize", "sa1b/masks", "--partition", "sa_000099").status == 2
    assert made.catalogue().instance.get_dynamic_partitions("sa1b_shards") == [SHARD, OTHER]


def test_a_new_home_is_told_what_is_published_without_making_it_again(made: Platform, tmp_path, call):
    published = (made.store / f"sam-1b/{SHARD}/sa_1/segmentation_0.png").stat().st_mtime_ns
    said = call("materialize", "sa1b/masks", "--partition", SHARD, DAGSTER_HOME=tmp_path / "new")
    assert said.status == 0 and "nothing to do" in said.out
    assert (made.store / f"sam-1b/{SHARD}/sa_1/segmentation_0.png").stat().st_mtime_ns == published
    assert (tmp_path / "new/dagster.yaml").exists()


def test_a_folder_that_was_removed_by_hand_is_made_again(made: Platform, call):
    for path in (made.store / f"sam-1b/{SHARD}/sa_1").iterdir():
        path.unlink()
    said = call("materialize", "sa1b/masks", "--partition", SHARD)
    assert said.status == 0 and f"made     sa1b/masks {SHARD}" in said.out
    assert (made.store / f"sam-1b/{SHARD}/sa_1/segmentation_0.png").exists()


def test_a_run_that_cannot_begin_has_failed_and_says_why(fresh: Platform, call, monkeypatch):
    logs = "module: dagster_aws.s3.compute_log_manager, class: S3ComputeLogManager"
    (fresh.home / "dagster.yaml").write_text(f"compute_logs: {{{logs}, config: {{bucket: {{env: NO_SUCH_NAME}}}}}}")
    assert "NO_SUCH_NAME" in call("materialize", "sa1b/shard_index", "--partition", SHARD).err, "told before any run"
    monkeypatch.setattr("segassets.instance.opened", dg.DagsterInstance.get)
    said = call("materialize", "sa1b/shard_index", "--partition", SHARD)
    assert said.status == 1 and "failed   sa1b/shard_index sa_000000" in said.err and "skipped" not in said.out
    assert "NO_SUCH_NAME" in said.err and len(said.err.splitlines()) < 5


def test_a_run_names_its_process_before_its_first_step(fresh: Platform, call, monkeypatch):
    monkeypatch.setattr("segassets.runs.tag_run", lambda *_: None)
    assert call("materialize", "sa1b/shard_index", "--partition", SHARD).status == 0
    (run,) = fresh.catalogue().instance.get_runs()
    assert run.tags[PROCESS_TAG] == process_tag()[PROCESS_TAG]


def test_a_download_that_nobody_asked_for_is_named_and_takes_no_run(fresh: Platform, call):
    said = call("materialize", "maskterial/GrapheneH/download", "maggie/download")
    assert said.status == 0 and said.out.count("nothing was asked for: --set") == 2
    assert fresh.catalogue().instance.get_runs() == []


@pytest.mark.parametrize(("kind", "shown", "more"), [("failed", 9, []), ("made", 5, ["and 4 more partitions"])])
def test_only_what_is_not_listed_is_counted(kind, shown, more):
    """Failures are all listed, and yet "and 4 more" was said of them."""
    events = [Event(kind, "toys/blocks", str(k), "why") for k in range(9)]
    lines = list(shortened(events))
    assert lines[:shown] == events[:shown] and [line.text for line in lines[shown:]] == more
