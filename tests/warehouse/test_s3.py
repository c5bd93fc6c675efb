"""A lake whose data files lie in a bucket, of moto's server."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from bucket import Bucket, s3_server
from erasable import BOB, INFO, PATHS, PERSON, ZOE, file, fill, leave_strays, results
from storages import name_storage

from moodreel.warehouse.ask import ask
from moodreel.warehouse.commit import commit_video
from moodreel.warehouse.erase import STEPS, Step, delete_strays, erase, remove_files, rewrite_files
from moodreel.warehouse.lake import Lake, WarehouseError, open_reader
from moodreel.warehouse.proof import NotErasedError
from moodreel.warehouse.target import find_target
from moodreel.warehouse.upkeep import expire_snapshots, flush_inlined, measure, merge_files
from moodreel.warehouse.upkeep import remove_files as remove_old_files

NOW = timedelta(0)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as running:
        yield running


@pytest.fixture(scope="module")
def bucket(endpoint: str) -> Bucket:
    return Bucket(endpoint, "lake")


@pytest.fixture(scope="module")
def folder(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with a video; beside its data, and in another bucket, what nobody may read."""
    folder = tmp_path_factory.mktemp("s3") / "w"
    name_storage(folder, data=f"s3://{bucket.name}/w/", endpoint=bucket.endpoint)
    with closing(Lake(folder)) as lake:
        commit_video(lake, "r", file(ZOE), INFO, results(ZOE, "c", 30), 1.0)
    bucket.write("elsewhere/secret.csv", b"word\nswordfish\n")
    Bucket(bucket.endpoint, f"{bucket.name}-other").write("secret.csv", b"word\nswordfish\n")
    return folder


def test_data_lie_in_the_bucket_alone_and_are_read_from_there(folder: Path, bucket: Bucket) -> None:
    assert len([name for name in bucket.names("w/") if name.endswith(".parquet")]) >= 4
    assert not [*folder.rglob("*.parquet")] and not (folder / "data").exists()
    assert ask(folder, "SELECT count(*) AS n FROM faces").to_pylist() == [{"n": 60}]
    assert ask(folder, "SELECT num_people FROM video_emotions").to_pylist() == [{"num_people": 2}]


ESCAPES = [
    "FROM read_csv('s3://{bucket}-other/secret.csv')",
    "FROM read_csv('s3://{bucket}/elsewhere/secret.csv')",
    "FROM read_csv('{endpoint}/{bucket}-other/secret.csv')",
    "FROM read_csv('/etc/passwd')",
    "FROM glob('s3://{bucket}-other/*')",
    "COPY faces TO 's3://{bucket}-other/stolen.csv'",
    "COPY faces TO '/tmp/stolen.csv'",
    "ATTACH 's3://{bucket}-other/secret.db'",
    "SET s3_endpoint = 'example.com'",
    "SET enable_external_access = true",
]


def test_a_reader_reaches_neither_other_buckets_nor_other_hosts_nor_files(folder: Path, bucket: Bucket) -> None:
    """The connection's own lock, without the names that `ask` refuses besides."""
    with closing(open_reader(folder)) as connection:
        assert connection.execute("SELECT count(*) FROM faces").fetchall() == [(60,)]
        for escape in ESCAPES:
            with pytest.raises(duckdb.Error, match=r"Permission|configuration|disabled|locked"):
                connection.execute(escape.format(bucket=bucket.name, endpoint=bucket.endpoint)).fetchall()
    upwards = f"FROM read_csv('s3://{bucket.name}/w/../elsewhere/secret.csv')"  # moto takes .. for a folder above
    for escape in (*ESCAPES, upwards, "FROM duckdb_secrets()"):
        with pytest.raises(WarehouseError, match=r"out of reach|exactly one SELECT|no SQL"):
            ask(folder, escape.format(bucket=bucket.name, endpoint=bucket.endpoint))


@pytest.mark.slow
def test_upkeep_removes_files_of_the_bucket(endpoint: str, tmp_path: Path) -> None:
    bucket = Bucket(endpoint, "upkeep")
    with closing(Lake(name_storage(tmp_path / "w", data="s3://upkeep/w/", endpoint=endpoint))) as lake:
        for video in (ZOE, BOB, "7c" * 32):
            commit_video(lake, "r", file(video), INFO, results(video, "c", 30), 1.0)
        bucket.write("w/main/crops/stray.parquet", b"of a killed commit")
        before = measure(lake)
        remove_old_files(lake, timedelta(days=1))
        assert measure(lake) == before  # all are young
        flush_inlined(lake)
        merge_files(lake)
        expire_snapshots(lake, NOW)
        remove_old_files(lake, NOW)
        after = measure(lake)
        assert after.num_files < before.num_files and 0 < after.data_bytes < before.data_bytes
        assert "w/main/crops/stray.parquet" not in bucket.names()
        assert lake.query("SELECT count(*) FROM faces") == [(180,)]


@pytest.fixture
def lake(endpoint: str, tmp_path: Path) -> Iterator[tuple[Lake, Bucket]]:
    """What erasing is tested on, with a killed run's files in the bucket."""
    bucket = Bucket(endpoint, f"erase-{abs(hash(tmp_path))}")
    folder = name_storage(tmp_path / "w", data=f"s3://{bucket.name}/", endpoint=endpoint)
    fill(folder)
    bucket.fetch("main/crops/", tmp_path / "crops")
    leave_strays(tmp_path / "crops")
    for name in ("stray [1].parquet", "torn.parquet"):
        bucket.write(f"main/crops/{name}", (tmp_path / "crops" / name).read_bytes())
    with closing(Lake(folder)) as opened:
        yield opened, bucket


@pytest.mark.slow
@pytest.mark.parametrize("named", [ZOE, PERSON])
def test_what_is_erased_is_in_no_file_of_the_bucket(lake: tuple[Lake, Bucket], tmp_path: Path, named: str) -> None:
    opened, bucket = lake
    proof = erase(opened, find_target(opened, named))
    bucket.fetch("", tmp_path / "fetched")
    files = [*(tmp_path / "fetched").rglob("*.parquet")]
    assert proof.num_data_files == len(files) > 5
    assert not {"main/crops/stray [1].parquet", "main/crops/torn.parquet"} & set(bucket.names())
    for path in files:
        for row in pq.ParquetFile(path).read().to_pylist():
            assert row.get("video_id") != ZOE or (named == PERSON and row.get("track_id") != 1), path
            assert named == PERSON or row.get("path") != PATHS[ZOE], path


@pytest.mark.parametrize(
    "left_out",
    [
        pytest.param(delete_strays, marks=pytest.mark.slow),
        pytest.param(rewrite_files, marks=pytest.mark.slow),
        pytest.param(remove_files, marks=pytest.mark.slow),
    ],
)
def test_the_proof_fails_if_a_step_that_removes_files_is_left_out(lake: tuple[Lake, Bucket], left_out: Step) -> None:
    opened, bucket = lake
    with pytest.raises(NotErasedError, match=f"left: s3://{bucket.name}/main/"):
        erase(opened, find_target(opened, ZOE), [step for step in STEPS if step is not left_out])


def test_missing_keys_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for use in (Lake, open_reader):
        with pytest.raises(WarehouseError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
            use(folder)


def test_a_folder_whose_data_are_elsewhere_is_refused(folder: Path, bucket: Bucket, tmp_path: Path) -> None:
    Lake(tmp_path / "here").close()
    shutil.copy(folder / "storage.toml", tmp_path / "here")  # from now on, it would say
    shutil.copytree(folder, tmp_path / "gone")
    (tmp_path / "gone" / "storage.toml").unlink()
    for other in (tmp_path / "gone", tmp_path / "here"):
        with pytest.raises(WarehouseError, match="does not match existing data path"):
            Lake(other)
