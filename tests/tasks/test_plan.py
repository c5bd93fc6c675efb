from hypothesis import given
from hypothesis import strategies as st

from moodreel.models.registry import DEFAULTS, REGISTERED, read_manifest
from moodreel.schemas.config import AnalysisConfig, PictureConfig, SoundConfig
from moodreel.schemas.values import FileStamp, StepKey, VideoFile
from moodreel.tasks.plan import plan_videos, wanted_steps

KEYS = [StepKey("faces", "c", None), StepKey("face_emotions", "c", "m"), StepKey("audio_windows", "s", None)]
IDS = ["a", "b", "c", "d"]


def file(path: int, video_id: str) -> VideoFile:
    return VideoFile(f"/v/{path}", FileStamp(1, 1, path), video_id)


contents = st.lists(st.sampled_from(IDS), max_size=8)
committed = st.dictionaries(st.sampled_from(IDS), st.sets(st.sampled_from(KEYS)))
wishes = st.frozensets(st.sampled_from(KEYS), min_size=1)


@given(contents, committed, wishes, st.sets(st.sampled_from(IDS)))
def test_the_plan_is_wanted_minus_committed_each_content_once(
    ids: list[str], done: dict[str, set[StepKey]], wanted: frozenset[StepKey], hopeless: set[str]
) -> None:
    files = [file(i, video_id) for i, video_id in enumerate(ids)]
    plan = plan_videos(files, wanted, done, hopeless)
    assert len(plan.work) + plan.num_skipped == len(files)
    assert {work.file.video_id for work in plan.work} == {
        i for i in ids if i not in hopeless and wanted - done.get(i, set())
    }
    assert len({work.file.video_id for work in plan.work}) == len(plan.work)
    for work in plan.work:
        assert work.steps == wanted - done.get(work.file.video_id, set())


@given(contents, committed, wishes)
def test_after_the_work_is_done_nothing_is_left(
    ids: list[str], done: dict[str, set[StepKey]], wanted: frozenset[StepKey]
) -> None:
    files = [file(i, video_id) for i, video_id in enumerate(ids)]
    for work in plan_videos(files, wanted, done, ()).work:
        done.setdefault(work.file.video_id, set()).update(work.steps)
    assert plan_videos(files, wanted, done, ()).work == []


def test_every_setting_changes_its_steps_and_no_other() -> None:
    plain = AnalysisConfig(face_models=DEFAULTS["face"])
    changed_picture = [
        {"decoder": "decord"}, {"sample_fps": 2.0}, {"min_face_px": 40}, {"min_score": 0.5}, {"crop_margin": 0.1},
        {"max_crop_px": 96}, {"version": 99},
    ]  # fmt: skip
    assert {name for change in changed_picture for name in change} == set(PictureConfig.model_fields)
    for change in changed_picture:
        other = wanted_steps(plain.model_copy(update={"picture": PictureConfig(**change)}))
        assert {key.step for key in other - wanted_steps(plain)} == {"faces", "face_emotions"}, change
    changed_sound = [{"window_s": 3.0}, {"hop_s": 2.0}, {"speech_threshold": 0.6}, {"version": 99}]
    assert {name for change in changed_sound for name in change} == set(SoundConfig.model_fields)
    for change in changed_sound:
        other = wanted_steps(plain.model_copy(update={"sound": SoundConfig(**change)}))
        assert {key.step for key in other - wanted_steps(plain)} == {"audio_windows"}, change
    assert {key.step for key in wanted_steps(plain.model_copy(update={"sound": None}))} == {"faces", "face_emotions"}


def test_emotions_are_keyed_by_the_weights() -> None:
    wanted = wanted_steps(AnalysisConfig(face_models=DEFAULTS["face"]))
    manifests = [read_manifest(name) for name in DEFAULTS["face"]]
    assert {key.model_id for key in wanted if key.step == "face_emotions"} == {each.model_id for each in manifests}


def test_features_are_steps_of_the_models_that_have_any() -> None:
    plain = AnalysisConfig(face_models=REGISTERED)
    asked = wanted_steps(plain.model_copy(update={"features": True}))
    having = {read_manifest(name).model_id for name in REGISTERED if read_manifest(name).num_features}
    assert {(key.step, key.model_id) for key in asked - wanted_steps(plain)} == {("face_features", i) for i in having}
    assert having and wanted_steps(plain) < asked
