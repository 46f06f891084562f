"""Model stores: complete models or none, shared copies, a disk limit, and nothing outside the repository."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from pathlib import Path

import pytest

from inference_engine.errors import ModelLoadError, SettingsError, TransportError
from inference_engine.models.disk import WORK_FOLDER
from inference_engine.models.sources import MANIFEST_NAME, RECORD_NAME, build_manifest
from inference_engine.models.store import FolderStore, ObjectInfo, S3Store, folder_bytes


class Objects:
    """Objects in memory, with the ETags that S3 gives to unencrypted single-part uploads."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.downloads: list[str] = []
        self.lists = 0
        #: Set by a test to hold downloads back.
        self.gate: asyncio.Event | None = None
        self.started = asyncio.Event()

    def put(self, key: str, content: bytes, etag: str | None = None) -> None:
        self.content[key] = content
        self.etags[key] = etag or f'"{hashlib.md5(content).hexdigest()}"'

    async def list(self, prefix: str) -> list[ObjectInfo]:
        self.lists += 1
        return [ObjectInfo(k, len(v), self.etags[k]) for k, v in self.content.items() if k.startswith(prefix)]

    async def download(self, key: str, path: Path) -> None:
        self.downloads.append(key)
        self.started.set()
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.to_thread(path.write_bytes, self.content[key])


def put_model(objects: Objects, label: str, size: int = 100) -> None:
    objects.put(f"models/{label}/config.pbtxt", b"c" * 10)
    objects.put(f"models/{label}/1/model.onnx", label.encode()[:1] * (size - 10))


def s3(objects: Objects, repository: Path, max_bytes: int | None = None) -> S3Store:
    return S3Store("s3://bucket/models", repository, max_bytes, blobs=objects)


def make_model(folder: Path, content: str = "weights") -> None:
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text("config")
    (folder / "1" / "model.onnx").write_text(content)


def models(repository: Path) -> set[str]:
    return {path.name for path in repository.iterdir() if path.name != WORK_FOLDER}


def unfinished(repository: Path) -> list[Path]:
    work = repository / WORK_FOLDER
    return [path for part in ("incoming", "trash") if (work / part).exists() for path in (work / part).iterdir()]


@pytest.fixture
def objects() -> Objects:
    return Objects()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


# --- bringing models in --------------------------------------------------------------------------------------------


async def test_a_folder_becomes_a_model(tmp_path: Path, repository: Path) -> None:
    make_model(tmp_path / "source" / "bert")
    stored = await FolderStore(tmp_path / "source", repository).fetch("bert")
    assert (stored.label, stored.path, stored.size_bytes) == ("bert", repository / "bert", len("config" + "weights"))
    assert (stored.path / "1" / "model.onnx").read_text() == "weights"
    assert folder_bytes(stored.path) == stored.size_bytes
    assert unfinished(repository) == []


async def test_links_in_a_source_are_followed(tmp_path: Path, repository: Path) -> None:
    make_model(tmp_path / "blobs")
    (tmp_path / "source" / "bert").mkdir(parents=True)
    (tmp_path / "source" / "bert" / "1").symlink_to(tmp_path / "blobs" / "1")
    stored = await FolderStore(tmp_path / "source", repository).fetch("bert")
    assert (stored.path / "1" / "model.onnx").read_text() == "weights"


async def test_objects_become_a_model_and_neighbours_do_not(objects: Objects, repository: Path) -> None:
    put_model(objects, "bert")
    put_model(objects, "bert-large")
    objects.put("models/bert/1/", b"")
    stored = await s3(objects, repository).fetch("bert")
    assert stored.size_bytes == 100
    assert models(repository) == {"bert"}


async def test_a_second_fetch_copies_nothing(objects: Objects, repository: Path) -> None:
    put_model(objects, "bert")
    first = await s3(objects, repository).fetch("bert")
    store = s3(objects, repository)
    assert await store.fetch("bert") == first
    assert await store.fetch("bert") == first
    assert len(objects.downloads) == 2


async def test_a_fetch_changes_no_time_inside_the_model(objects: Objects, repository: Path) -> None:
    put_model(objects, "bert")
    store = s3(objects, repository)
    await store.fetch("bert")
    before = {path: path.stat().st_mtime_ns for path in (repository / "bert").rglob("*")}
    await store.fetch("bert")
    assert {path: path.stat().st_mtime_ns for path in (repository / "bert").rglob("*")} == before


async def test_a_changed_source_is_fetched_again(objects: Objects, repository: Path) -> None:
    put_model(objects, "bert")
    store = s3(objects, repository)
    await store.fetch("bert")
    objects.put("models/bert/1/model.onnx", b"new")
    del objects.content["models/bert/config.pbtxt"]
    stored = await store.fetch("bert")
    assert stored.size_bytes == 3
    assert (stored.path / "1" / "model.onnx").read_bytes() == b"new"
    assert not (stored.path / "config.pbtxt").exists()
    assert unfinished(repository) == []


async def test_a_touched_folder_is_fetched_again(tmp_path: Path, repository: Path) -> None:
    make_model(tmp_path / "source" / "bert")
    store = FolderStore(tmp_path / "source", repository)
    await store.fetch("bert")
    file = tmp_path / "source" / "bert" / "1" / "model.onnx"
    file.write_text("WEIGHTS")
    os.utime(file, ns=(1, 1))
    stored = await store.fetch("bert")
    assert (stored.path / "1" / "model.onnx").read_text() == "WEIGHTS"


async def test_a_damaged_copy_is_fetched_again(objects: Objects, repository: Path) -> None:
    put_model(objects, "bert")
    stored = await s3(objects, repository).fetch("bert")
    (stored.path / "1" / "model.onnx").write_bytes(b"short")
    assert folder_bytes((await s3(objects, repository).fetch("bert")).path) == 100


# --- refusing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["", ".", "..", "../up", "a/b", "a\\b", "/etc", ".hidden", "nul\0", "x" * 256])
async def test_a_label_that_is_no_folder_name_is_refused(label: str, tmp_path: Path, repository: Path) -> None:
    make_model(tmp_path / "up")
    store = FolderStore(tmp_path / "source", repository)
    with pytest.raises(ModelLoadError, match="cannot be the name of a model's folder"):
        await store.fetch(label)
    assert os.listdir(tmp_path) == ["up"]


async def test_a_key_that_leaves_the_folder_is_refused(objects: Objects, repository: Path) -> None:
    objects.put("models/bert/../../evil", b"x")
    with pytest.raises(ModelLoadError, match="not a plain path inside"):
        await s3(objects, repository).fetch("bert")
    assert models(repository) == set()


async def test_a_missing_model_names_the_source(tmp_path: Path, objects: Objects, repository: Path) -> None:
    with pytest.raises(ModelLoadError, match="'bert' cannot be fetched from s3://bucket/models: there is no model"):
        await s3(objects, repository).fetch("bert")
    with pytest.raises(ModelLoadError, match=f"from {tmp_path / 'nowhere'}: there is no model"):
        await FolderStore(tmp_path / "nowhere", repository).fetch("bert")


async def test_a_failing_source_is_a_load_error_with_its_reason(objects: Objects, repository: Path) -> None:
    async def refuse(key: str, path: Path) -> None:
        raise TransportError("access denied")

    put_model(objects, "bert")
    objects.download = refuse  # type: ignore[method-assign]
    with pytest.raises(ModelLoadError, match="from s3://bucket/models: access denied"):
        await s3(objects, repository).fetch("bert")
    assert models(repository) == set()
    assert unfinished(repository) == []


async def test_damage_on_the_way_is_found_by_md5(objects: Objects, repository: Path) -> None:
    put_model(objects, "bert")
    objects.content["models/bert/1/model.onnx"] = b"z" * 90
    with pytest.raises(ModelLoadError, match=r"1/model.onnx does not have the MD5 of its ETag"):
        await s3(objects, repository).fetch("bert")
    assert models(repository) == set()


async def test_etags_that_are_no_md5_are_not_compared(objects: Objects, repository: Path) -> None:
    objects.put("models/bert/model.onnx", b"abc", etag='"0123456789abcdef0123456789abcdef-2"')
    await s3(objects, repository).fetch("bert")
    objects.put("models/kms/model.onnx", b"abc", etag='"0123456789abcdef0123456789abcdef"')
    await S3Store("s3://bucket/models", repository, blobs=objects, verify_etags=False).fetch("kms")
    assert models(repository) == {"bert", "kms"}


async def test_a_short_copy_is_refused(objects: Objects, repository: Path) -> None:
    async def half(key: str, path: Path) -> None:
        await asyncio.to_thread(path.write_bytes, objects.content[key][:-1])

    put_model(objects, "bert")
    objects.download = half  # type: ignore[method-assign]
    with pytest.raises(ModelLoadError, match="bytes after copying"):
        await s3(objects, repository).fetch("bert")


async def test_a_manifest_decides_what_belongs_to_the_model(tmp_path: Path, repository: Path) -> None:
    folder = tmp_path / "source" / "bert"
    make_model(folder)
    (folder / MANIFEST_NAME).write_text(json.dumps(build_manifest(folder)))
    (folder / "2").mkdir()
    (folder / "2" / "model.onnx").write_text("left behind")
    stored = await FolderStore(tmp_path / "source", repository).fetch("bert")
    assert (stored.path / "1" / "model.onnx").exists()
    assert not (stored.path / "2").exists()


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        ('{"files": {"1/model.onnx": {"sha256": "00"}}}', "does not have the SHA-256"),
        ('{"files": {"1/other.onnx": {"sha256": "00"}}}', r"lists files that are missing \(1/other.onnx\)"),
        ('{"files": {"../model.onnx": {"sha256": "00"}}}', "not a plain path inside"),
        ("{}", "cannot be read"),
        ("[", "cannot be read"),
    ],
)
async def test_a_model_that_contradicts_its_manifest_is_refused(
    manifest: str, reason: str, tmp_path: Path, repository: Path
) -> None:
    make_model(tmp_path / "source" / "bert")
    (tmp_path / "source" / "bert" / MANIFEST_NAME).write_text(manifest)
    with pytest.raises(ModelLoadError, match=reason):
        await FolderStore(tmp_path / "source", repository).fetch("bert")
    assert models(repository) == set()


async def test_somebody_elses_folder_is_left_alone(objects: Objects, repository: Path) -> None:
    put_model(objects, "bert")
    make_model(repository / "bert", "by hand")
    with pytest.raises(ModelLoadError, match="was not made by this store"):
        await s3(objects, repository).fetch("bert")
    assert (repository / "bert" / "1" / "model.onnx").read_text() == "by hand"


@pytest.mark.parametrize("url", ["bucket/models", "s3://", "https://bucket"])
def test_another_kind_of_address_is_refused(url: str, objects: Objects, repository: Path) -> None:
    with pytest.raises(SettingsError, match="s3://bucket/prefix"):
        S3Store(url, repository, blobs=objects)


async def test_a_bucket_without_prefix(objects: Objects, repository: Path) -> None:
    objects.put("bert/model.onnx", b"abc")
    assert (await S3Store("s3://bucket", repository, blobs=objects).fetch("bert")).size_bytes == 3


# --- at the same time ----------------------------------------------------------------------------------------------


async def test_fetches_of_one_label_share_a_copy(objects: Objects, repository: Path) -> None:
    put_model(objects, "bert")
    store = s3(objects, repository)
    fetched = await asyncio.gather(*(store.fetch("bert") for _ in range(20)))
    assert len(set(fetched)) == 1
    assert len(objects.downloads) == 2


async def test_one_caller_that_gives_up_does_not_stop_the_others(objects: Objects, repository: Path) -> None:
    put_model(objects, "bert")
    objects.gate = asyncio.Event()
    store = s3(objects, repository)
    impatient, patient = asyncio.create_task(store.fetch("bert")), asyncio.create_task(store.fetch("bert"))
    await objects.started.wait()
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    objects.gate.set()
    assert (await patient).size_bytes == 100


async def test_the_last_caller_that_gives_up_stops_the_copy(objects: Objects, repository: Path) -> None:
    put_model(objects, "bert")
    objects.gate = asyncio.Event()
    store = s3(objects, repository)
    caller = asyncio.create_task(store.fetch("bert"))
    await objects.started.wait()
    copies = asyncio.all_tasks() - {asyncio.current_task(), caller}
    caller.cancel()
    await asyncio.wait({caller, *copies})
    assert models(repository) == set()
    assert unfinished(repository) == []
    objects.gate.set()
    assert (await store.fetch("bert")).size_bytes == 100


async def test_a_source_that_changes_during_the_copy_is_copied_again(objects: Objects, repository: Path) -> None:
    put_model(objects, "bert")
    download = objects.download

    async def change_once(key: str, path: Path) -> None:
        await download(key, path)
        objects.put("models/bert/config.pbtxt", b"changed")

    objects.download = change_once  # type: ignore[method-assign]
    stored = await s3(objects, repository).fetch("bert")
    assert (stored.path / "config.pbtxt").read_bytes() == b"changed"


async def test_a_source_that_never_holds_still_is_refused(objects: Objects, repository: Path) -> None:
    put_model(objects, "bert")
    download = objects.download

    async def change(key: str, path: Path) -> None:
        await download(key, path)
        objects.put("models/bert/config.pbtxt", b"%d" % len(objects.downloads))

    objects.download = change  # type: ignore[method-assign]
    with pytest.raises(ModelLoadError, match="changed at s3://bucket/models during each of 3 copies"):
        await s3(objects, repository).fetch("bert")


# --- the disk limit ------------------------------------------------------------------------------------------------


async def test_the_least_recently_fetched_model_makes_room(objects: Objects, repository: Path) -> None:
    for label in "abc":
        put_model(objects, label)
    store = s3(objects, repository, max_bytes=250)
    for label in "aba":
        await store.fetch(label)
    await store.fetch("c")
    assert models(repository) == {"a", "c"}
    assert unfinished(repository) == []


async def test_the_order_of_use_survives_a_restart(objects: Objects, repository: Path) -> None:
    for label in "abc":
        put_model(objects, label)
    store = s3(objects, repository, max_bytes=250)
    for label in "aba":
        await store.fetch(label)
    for age, label in enumerate("ba"):
        os.utime(repository / WORK_FOLDER / "used" / label, ns=(age, age))
    await s3(objects, repository, max_bytes=250).fetch("c")
    assert models(repository) == {"a", "c"}


async def test_pinned_models_stay(objects: Objects, repository: Path) -> None:
    for label in "abc":
        put_model(objects, label)
    store = s3(objects, repository, max_bytes=250)
    store.pin("a")
    store.pin("a")
    await store.fetch("a")
    await store.fetch("b")
    await store.fetch("c")
    assert models(repository) == {"a", "c"}
    store.pin("c")
    with pytest.raises(ModelLoadError, match=r"are 50 too many for max_bytes=250.*together with the models in use"):
        await store.fetch("b")
    store.unpin("a")
    store.unpin("never pinned")
    await store.fetch("b")
    assert models(repository) == {"b", "c"}


async def test_a_model_larger_than_the_limit_deletes_nothing(objects: Objects, repository: Path) -> None:
    put_model(objects, "a")
    put_model(objects, "huge", 300)
    store = s3(objects, repository, max_bytes=250)
    await store.fetch("a")
    with pytest.raises(ModelLoadError, match="its 300 bytes"):
        await store.fetch("huge")
    assert models(repository) == {"a"}


async def test_a_new_version_takes_the_room_of_the_old_one(objects: Objects, repository: Path) -> None:
    put_model(objects, "a", 200)
    store = s3(objects, repository, max_bytes=250)
    store.pin("a")
    await store.fetch("a")
    put_model(objects, "a", 220)
    assert (await store.fetch("a")).size_bytes == 220


async def test_copies_under_way_count_against_the_limit(objects: Objects, repository: Path) -> None:
    put_model(objects, "a", 150)
    put_model(objects, "b", 150)
    objects.gate = asyncio.Event()
    store = s3(objects, repository, max_bytes=250)
    first = asyncio.create_task(store.fetch("a"))
    await objects.started.wait()
    with pytest.raises(ModelLoadError, match="its 150 bytes are 50 too many"):
        await store.fetch("b")
    objects.gate.set()
    await first
    assert models(repository) == {"a"}


async def test_concurrent_fetches_never_exceed_the_limit(objects: Objects, repository: Path) -> None:
    labels = [f"m{number}" for number in range(8)]
    for label in labels:
        put_model(objects, label)
    store = s3(objects, repository, max_bytes=350)
    for label in labels[:3]:
        await store.fetch(label)
    await asyncio.gather(*(store.fetch(label) for label in labels[3:6]))
    assert models(repository) == set(labels[3:6])


# --- after a crash -------------------------------------------------------------------------------------------------


async def test_what_a_crash_left_behind_is_removed(objects: Objects, repository: Path) -> None:
    put_model(objects, "bert")
    for part in ("incoming", "trash"):
        make_model(repository / WORK_FOLDER / part / "half")
    await s3(objects, repository).fetch("bert")
    assert unfinished(repository) == []


@pytest.mark.parametrize("record", ["", "{}", "[]", '{"fingerprint": "x", "files": {}}'])
async def test_a_broken_record_means_to_fetch_again(record: str, objects: Objects, repository: Path) -> None:
    put_model(objects, "bert")
    stored = await s3(objects, repository).fetch("bert")
    (stored.path / RECORD_NAME).write_text(record)
    await s3(objects, repository).fetch("bert")
    assert len(objects.downloads) == 4


async def test_a_model_deleted_by_hand_is_fetched_again(objects: Objects, repository: Path) -> None:
    put_model(objects, "bert")
    store = s3(objects, repository)
    stored = await store.fetch("bert")
    stored.path.rename(repository.parent / "elsewhere")
    assert (await store.fetch("bert")).path.is_dir()
