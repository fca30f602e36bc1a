"""Captions for photographs, by whatever makes them.

Belongs here: captioners that look at pixels, behind one small protocol. Not here: caption files that are there already
(`formats.captions`), which shards get which captions, batching over a shard. Captions are model output: compare their
fingerprints, never their text. Source: SA-1B specification, section 2.3.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from PIL.Image import Image


class MissingExtra(ImportError):
    """A captioner needs libraries that are not installed; the message names the extra."""


@runtime_checkable
class Captioner(Protocol):
    """Turns photographs into one line of text each."""

    name: str

    def fingerprint(self) -> dict:
        """What decides the captions, as JSON: model, revision, number type, prompt, settings."""
        ...

    def caption(self, images: list[Image], names: list[str]) -> list[str]:
        """One stripped caption for each RGB picture, in order; empty where the model has nothing to say.

        `names` are the file names, for captioners that look them up and for messages.
        """
        ...


@dataclass(slots=True)
class ConstantCaptioner:
    """The same caption for every picture; `{name}` stands for its file name. For tests and dry runs."""

    text: str = "a photo"
    name: str = field(default="constant", init=False)

    def fingerprint(self) -> dict:
        return {"captioner": self.name, "text": self.text}

    def caption(self, images: Sequence[Image], names: Sequence[str]) -> list[str]:
        return [self.text.replace("{name}", name).strip() for name, _ in zip(names, images, strict=True)]


@dataclass(slots=True)
class Blip2Captioner:
    """BLIP-2 with Flan-T5 XL, fine-tuned on COCO captions, as ASAM used it through LAVIS.

    The defaults are LAVIS' effective settings. The model (about 8 GB in bfloat16) is loaded with the first batch.
    `revision`: pin a commit for reproducible captions; it must have the layer-norm epsilon fix of September 2023, which
    `main` has. `device`: `cuda`, `mps`, `cpu`, or None for the best there is. `dtype`: `bfloat16` or `float32`; None
    takes bfloat16 on a GPU that has it. T5 overflows in float16, so that is refused.
    """

    model_id: str = "Salesforce/blip2-flan-t5-xl-coco"
    revision: str = "main"
    prompt: str = "a photo of"
    num_beams: int = 5
    max_new_tokens: int = 30
    min_length: int = 1
    batch_size: int = 8
    device: str | None = None
    dtype: str | None = None
    name: str = field(default="blip2", init=False)
    _loaded: tuple | None = field(default=None, init=False, repr=False)
    _fits: int = field(default=0, init=False, repr=False)  # the batch size that memory allows

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}, expected at least 1")
        if self.dtype not in (None, "bfloat16", "float32"):
            raise ValueError(f"dtype is {self.dtype!r}, expected bfloat16 or float32 (T5 overflows in float16)")

    def fingerprint(self) -> dict:
        """Settings, and where they differ by machine what was chosen there. Imports torch, loads no weights."""
        torch, transformers = _libraries()
        device, dtype = choose_device(torch, self.device, self.dtype)
        settings = asdict(_Settings.of(self))
        versions = {"torch": str(torch.__version__), "transformers": str(transformers.__version__)}
        return {"captioner": self.name, **settings, "device": device, "dtype": dtype, "versions": versions}

    def caption(self, images: Sequence[Image], names: Sequence[str]) -> list[str]:
        if len(images) != len(names):
            raise ValueError(f"{len(images)} pictures and {len(names)} names")
        captions, start = [], 0
        while start < len(images):
            batch = list(images[start : start + (self._fits or self.batch_size)])
            try:
                captions += self._batch(batch)
            except Exception as problem:
                if len(batch) == 1 or not _is_out_of_memory(problem):
                    raise
                self._fits = max(1, len(batch) // 2)
                # The traceback holds the failed batch's tensors.
                problem.__traceback__ = None
                self._free()
                continue
            start += len(batch)
        return captions

    def _batch(self, images: list[Image]) -> list[str]:
        """Captions of one batch. This model sometimes says nothing (LAVIS issue 132): it is asked once more."""
        captions = self._generate(images)
        silent = [place for place, text in enumerate(captions) if not text]
        if silent:
            again = self._generate([images[place] for place in silent], min_new_tokens=3)
            for place, text in zip(silent, again, strict=True):
                captions[place] = text
        return captions

    def _generate(self, images: list[Image], **more: Any) -> list[str]:
        torch, processor, model, device, dtype = self._model()
        inputs = processor(images=images, text=[self.prompt] * len(images), return_tensors="pt", padding=True)
        inputs = inputs.to(device, getattr(torch, dtype))
        settings = {
            "do_sample": False,
            "num_beams": self.num_beams,
            "max_new_tokens": self.max_new_tokens,
            "min_length": self.min_length,
            "length_penalty": 1.0,
            "repetition_penalty": 1.0,
        }
        with torch.inference_mode():
            ids = model.generate(**inputs, **{**settings, **more})
        texts = processor.batch_decode(ids, skip_special_tokens=True)
        return [text.strip() for text in texts]

    def _model(self) -> tuple:
        """(torch, processor, model, device, dtype), loaded once."""
        if self._loaded is None:
            torch, transformers = _libraries()
            device, dtype = choose_device(torch, self.device, self.dtype)
            processor = transformers.Blip2Processor.from_pretrained(self.model_id, revision=self.revision)
            model = transformers.Blip2ForConditionalGeneration.from_pretrained(
                self.model_id, revision=self.revision, torch_dtype=getattr(torch, dtype), low_cpu_mem_usage=True
            )
            self._loaded = torch, processor, model.to(device).eval(), device, dtype
        return self._loaded

    def _free(self) -> None:
        gc.collect()
        torch = self._loaded[0] if self._loaded else None
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()


@dataclass(frozen=True, slots=True)
class _Settings:
    """What of a Blip2Captioner decides its captions."""

    model_id: str
    revision: str
    prompt: str
    num_beams: int
    max_new_tokens: int
    min_length: int
    batch_size: int  # beam search is deterministic for one batch shape only

    @classmethod
    def of(cls, captioner: Blip2Captioner) -> _Settings:
        return cls(**{key: getattr(captioner, key) for key in cls.__dataclass_fields__})


def choose_device(torch: Any, device: str | None = None, dtype: str | None = None) -> tuple[str, str]:
    """(device, number type): what is asked for, else CUDA, else Apple's MPS, else the CPU.

    bfloat16 only on CUDA that computes in it (not on a V100), float32 elsewhere.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if dtype is None:
        has_bfloat16 = device.startswith("cuda") and torch.cuda.is_bf16_supported()
        dtype = "bfloat16" if has_bfloat16 else "float32"
    return device, dtype


def _libraries() -> tuple[Any, Any]:
    """(torch, transformers), which are several gigabytes and therefore an extra."""
    try:
        import torch
        import transformers
    except ImportError as missing:
        name = missing.name or "a library"
        raise MissingExtra(
            f"the captioner blip2 needs {name}, which is not installed: pip install 'segassets[captions]'. Or put a "
            "caption file into the raw folder (sa1b/captions/)"
        ) from missing
    return torch, transformers


def _is_out_of_memory(problem: Exception) -> bool:
    """torch.OutOfMemoryError has moved between versions, and MPS and the CPU raise plain RuntimeErrors."""
    text = str(problem).lower()
    return type(problem).__name__ == "OutOfMemoryError" or (
        isinstance(problem, (RuntimeError, MemoryError))
        and ("out of memory" in text or "can't allocate memory" in text)
    )


CAPTIONERS = {"constant": ConstantCaptioner, "blip2": Blip2Captioner}


def require(name: str) -> None:
    """MissingExtra when the libraries of a captioner are not installed; loads no weights."""
    if name == "blip2":
        _libraries()


def make(name: str, **options: Any) -> Captioner:
    """A captioner by name (`constant`, `blip2`) with its options. ValueError for what there is not."""
    if name not in CAPTIONERS:
        raise ValueError(f"{name!r} is no captioner; there are {', '.join(CAPTIONERS)}")
    fields = [key for key, value in CAPTIONERS[name].__dataclass_fields__.items() if value.init]
    if unknown := sorted(options.keys() - set(fields)):
        raise ValueError(f"the captioner {name} has no option {', '.join(unknown)}; it has {', '.join(fields)}")
    return CAPTIONERS[name](**options)
