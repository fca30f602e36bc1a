"""Captioners, with small stand-ins for torch and transformers."""

import contextlib
import json
import sys
import types

import pytest
from PIL import Image

from segassets import captioning
from segassets.captioning import Blip2Captioner, Captioner, ConstantCaptioner, MissingExtra, choose_device, make


class OutOfMemoryError(RuntimeError):
    pass


class FakeInputs(dict):
    def to(self, device, dtype):
        self["moved"] = (device, dtype)
        return self


class Fakes:
    """What the captioner does with its libraries."""

    def __init__(self, cuda=False, bf16=False, mps=False, fits=99):
        self.fits, self.batches, self.settings, self.loads, self.silent, self.emptied = fits, [], [], [], set(), 0
        fakes = self

        class Processor:
            @classmethod
            def from_pretrained(cls, model_id, revision):
                fakes.loads.append(("processor", model_id, revision))
                return cls()

            def __call__(self, images, text, return_tensors, padding):
                assert len(images) == len(text) and set(text) == {"a photo of"}
                return FakeInputs(images=images)

            def batch_decode(self, ids, skip_special_tokens):
                assert skip_special_tokens
                return ids

        class Model:
            @classmethod
            def from_pretrained(cls, model_id, revision, torch_dtype, **_):
                fakes.loads.append(("model", model_id, revision, torch_dtype))
                return cls()

            def to(self, device):
                fakes.loads.append(("to", device))
                return self

            def eval(self):
                return self

            def generate(self, images, moved, **settings):
                if len(images) > fakes.fits:
                    raise OutOfMemoryError("CUDA out of memory")
                fakes.batches.append(len(images))
                fakes.settings.append(settings)
                again = "min_new_tokens" in settings
                widths = [image.width for image in images]
                return [
                    " " if width in fakes.silent and not (again and width < 50) else f" w{width} " for width in widths
                ]

        def empty_cache():
            fakes.emptied += 1

        self.torch = types.SimpleNamespace(
            __version__="2.9",
            bfloat16="bf16",
            float32="f32",
            inference_mode=contextlib.nullcontext,
            cuda=types.SimpleNamespace(
                is_available=lambda: cuda, is_bf16_supported=lambda: bf16, empty_cache=empty_cache
            ),
            backends=types.SimpleNamespace(mps=types.SimpleNamespace(is_available=lambda: mps)),
        )
        self.transformers = types.SimpleNamespace(
            __version__="4.57", Blip2Processor=Processor, Blip2ForConditionalGeneration=Model
        )


@pytest.fixture
def use(monkeypatch):
    def install(**options):
        fakes = Fakes(**options)
        monkeypatch.setitem(sys.modules, "torch", fakes.torch)
        monkeypatch.setitem(sys.modules, "transformers", fakes.transformers)
        return fakes

    return install


def pictures(*widths):
    return [Image.new("RGB", (width, 2)) for width in widths], [f"sa_{width}.jpg" for width in widths]


def test_constant():
    captioner = make("constant", text=" a photo of {name} ")
    assert isinstance(captioner, ConstantCaptioner) and isinstance(captioner, Captioner)
    assert captioner.caption(*pictures(1, 2)) == ["a photo of sa_1.jpg", "a photo of sa_2.jpg"]
    assert captioner.fingerprint() == {"captioner": "constant", "text": " a photo of {name} "}


def test_make_refuses_what_there_is_not():
    with pytest.raises(ValueError, match="'gpt' is no captioner; there are constant, blip2"):
        make("gpt")
    with pytest.raises(ValueError, match="no option beams"):
        make("blip2", beams=3)
    with pytest.raises(ValueError, match="no option _loaded"):
        make("blip2", _loaded=3)
    with pytest.raises(ValueError, match="float16"):
        make("blip2", dtype="float16")
    with pytest.raises(ValueError, match="batch_size"):
        make("blip2", batch_size=0)


@pytest.mark.parametrize("library", ["torch", "transformers"])
def test_missing_extra_is_named(monkeypatch, use, library):
    use()
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=r"pip install 'segassets\[captions\]'"):
        make("blip2").caption(*pictures(1))


def test_blip2_uses_asams_settings_and_loads_once(use):
    fakes = use()
    captioner = make("blip2", revision="abc", batch_size=2)
    assert isinstance(captioner, Captioner)
    assert captioner.caption(*pictures(1, 2, 3)) == ["w1", "w2", "w3"]
    assert captioner.caption(*pictures(4)) == ["w4"]
    assert fakes.batches == [2, 1, 1]
    name = "Salesforce/blip2-flan-t5-xl-coco"
    assert fakes.loads == [("processor", name, "abc"), ("model", name, "abc", "f32"), ("to", "cpu")]
    assert fakes.settings[0] == {
        "do_sample": False,
        "num_beams": 5,
        "max_new_tokens": 30,
        "min_length": 1,
        "length_penalty": 1.0,
        "repetition_penalty": 1.0,
    }


@pytest.mark.parametrize(
    ("machine", "asked", "expected"),
    [
        ({"cuda": True, "bf16": True}, (None, None), ("cuda", "bfloat16")),
        ({"cuda": True, "bf16": False}, (None, None), ("cuda", "float32")),
        ({"mps": True}, (None, None), ("mps", "float32")),
        ({}, (None, None), ("cpu", "float32")),
        ({"cuda": True, "bf16": True}, ("cpu", None), ("cpu", "float32")),
        ({"cuda": True, "bf16": True}, ("cuda:1", None), ("cuda:1", "bfloat16")),
        ({}, ("cpu", "bfloat16"), ("cpu", "bfloat16")),
    ],
)
def test_device(use, machine, asked, expected):
    assert choose_device(use(**machine).torch, *asked) == expected


def test_batches_are_halved_when_memory_is_short(use):
    fakes = use(cuda=True, bf16=True, fits=3)
    captioner = Blip2Captioner(batch_size=8)
    assert captioner.caption(*pictures(*range(1, 10))) == [f"w{i}" for i in range(1, 10)]
    assert fakes.batches == [2, 2, 2, 2, 1] and fakes.emptied == 2
    assert captioner.batch_size == 8  # what was asked for stays in the fingerprint


def test_one_picture_that_does_not_fit_is_an_error(use):
    use(fits=0)
    with pytest.raises(OutOfMemoryError):
        Blip2Captioner().caption(*pictures(1, 2, 3))


def test_other_errors_are_not_taken_for_short_memory(use, monkeypatch):
    fakes = use()

    def fail(*_, **__):
        raise RuntimeError("bad shape")

    monkeypatch.setattr(fakes.transformers.Blip2ForConditionalGeneration, "generate", fail)
    with pytest.raises(RuntimeError, match="bad shape"):
        Blip2Captioner().caption(*pictures(1, 2))


def test_silence_is_asked_once_more(use):
    fakes = use()
    fakes.silent = {2, 60}
    assert Blip2Captioner().caption(*pictures(1, 2, 60)) == ["w1", "w2", ""]
    assert fakes.batches == [3, 2]


def test_fingerprint_is_json_and_loads_nothing(use):
    fakes = use(cuda=True, bf16=True)
    fingerprint = json.loads(json.dumps(make("blip2", revision="abc").fingerprint()))
    assert fakes.loads == []
    assert fingerprint["revision"] == "abc" and fingerprint["dtype"] == "bfloat16" and fingerprint["num_beams"] == 5
    assert fingerprint["versions"] == {"torch": "2.9", "transformers": "4.57"}


def test_names_and_pictures_must_match(use):
    use()
    images, names = pictures(1, 2)
    for captioner in (ConstantCaptioner(), Blip2Captioner()):
        with pytest.raises(ValueError):
            captioner.caption(images, names[:1])


def test_importing_the_module_needs_no_extra():
    assert not hasattr(captioning, "torch")
