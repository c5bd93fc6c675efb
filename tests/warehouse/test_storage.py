"""What storage.toml may say."""

import re
from pathlib import Path

import pytest
from bucket import Bucket, s3_server
from clips import SPEECH, portrait_clip
from lakes import assert_equal
from postgres import postgres_server
from storages import name_storage

from moodreel.flows.run import run_night
from moodreel.schemas.config import NightRequest
from moodreel.warehouse.lake import Lake, WarehouseError, open_reader
from moodreel.warehouse.storage import S3, Storage, read_storage


def test_without_a_file_all_lies_in_the_folder(tmp_path: Path) -> None:
    assert read_storage(tmp_path) == Storage(tmp_path, f"{tmp_path}/data/", None, None)


def test_places_are_read(tmp_path: Path) -> None:
    (tmp_path / "storage.toml").write_text(
        'catalog = "postgres:dbname=moodreel host=db1 user=moodreel"\n'
        'data = "s3://bucket/some/prefix"\n'
        '[s3]\nendpoint = "http://minio:9000"\nregion = "eu-central-1"\nurl_style = "path"\n'
    )
    s3 = S3("minio:9000", "eu-central-1", "path", is_encrypted=False)
    words = "dbname=moodreel host=db1 user=moodreel"
    assert read_storage(tmp_path) == Storage(tmp_path, "s3://bucket/some/prefix/", words, s3)
    (tmp_path / "storage.toml").write_text('data = "s3://bucket"\n')
    assert read_storage(tmp_path) == Storage(tmp_path, "s3://bucket/", None, S3(None, None, "vhost", True))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("catalog = ", "can't be read"),
        ("catalogue = 'postgres:dbname=a'", "catalogue is unknown: the keys are catalog, data, s3"),
        ("catalog = 5", "catalog is 5: a text is wanted"),
        ("catalog = 'mysql:dbname=a'", "give 'postgres:dbname=NAME"),
        ("catalog = 'postgres:postgresql://me@db1/a'", "give 'postgres:dbname=NAME"),
        ("catalog = 'postgres:dbname=a password = secret'", r"password: put it into ~/\.pgpass"),
        ("data = 'data'", "or an absolute folder"),
        ("data = 's3://bucket/*/'", "or an absolute folder"),
        ("data = 's3:///prefix/'", "or an absolute folder"),
        ("data = '/data'\n[s3]\nregion = 'x'", "data is no bucket"),
        ("[s3]\nregion = 'x'", "data is no bucket"),
        ("data = 's3://b/'\n[s3]\nkey = 'x'", "key is unknown: the keys are endpoint"),
        ("data = 's3://b/'\n[s3]\nendpoint = 'host:9000'", "give https://HOST:PORT"),
        ("data = 's3://b/'\n[s3]\nurl_style = 'other'", "give one of vhost, path"),
        ("s3 = 'x'", "a table is wanted"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line_that_names_the_file(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "storage.toml").write_text(text)
    for use in (Lake, open_reader):
        with pytest.raises(WarehouseError, match=says) as told:
            use(tmp_path)
        assert "\n" not in str(told.value) and str(tmp_path / "storage.toml") in str(told.value)
        assert "secret" not in str(told.value)
    assert [path.name for path in tmp_path.iterdir()] == ["storage.toml"]


def test_the_docs_examples_are_read(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "storage.md").read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", text, re.S)
    found = []
    for example in examples:
        (tmp_path / "storage.toml").write_text(example)
        found.append(read_storage(tmp_path))
    words = "dbname=moodreel host=db1 user=moodreel"
    s3 = S3("minio.example:9000", "eu-central-1", "path")
    assert [(each.data, each.postgres, each.s3) for each in found] == [
        ("/mnt/moodreel/data/", words, None),
        ("s3://bucket/moodreel/", None, s3),
    ]


@pytest.mark.slow
def test_a_night_on_postgresql_and_a_bucket_equals_one_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    portrait_clip(tmp_path / "videos" / "a.mp4", 1, SPEECH)
    (tmp_path / "videos" / "bad.mp4").touch()

    def night(warehouse: Path) -> tuple[int, int]:
        videos = str(tmp_path / "videos")
        request = NightRequest(folder=videos, warehouse=str(warehouse), models=("small-vgg",), workers=0)
        counts = run_night(request).summary.counts
        return counts.num_analysed, counts.num_skipped

    assert night(tmp_path / "files") == (1, 0)
    with postgres_server() as server, s3_server() as endpoint:
        Bucket(endpoint, "night")
        words = server.words(server.new_database())
        for driver in ("a", "b"):
            name_storage(tmp_path / driver, catalog=words, data="s3://night/w/", endpoint=endpoint)
        assert night(tmp_path / "a") == (1, 0)
        assert night(tmp_path / "b")[0] == 0
        assert_equal(tmp_path / "files", tmp_path / "b")
