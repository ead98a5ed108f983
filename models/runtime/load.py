"""Load a model by its name or folder, with the engine that this machine has: the one place that knows all of them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from models.errors import EngineMissingError, ModelDamagedError
from models.extras import install
from models.runtime.confidence import UNCALIBRATED
from models.runtime.engines import Engine, OpenVinoEngine, TorchEngine, default_threads
from models.runtime.package import ModelPackage, open_models, open_package
from models.runtime.router import LanguageRouter
from models.runtime.tagger import Tagger
from models.runtime.tokenizer import PieceTokenizer

EngineName = Literal["auto", "openvino", "torch"]


def load(
    model: str | Path = "en",
    engine: EngineName = "auto",
    threads: int | None = None,
    devices: Sequence[Sequence[str]] = (),
) -> Tagger | LanguageRouter:
    """Load a model as a tagger, or several models behind one router that sends each text to the model of its language.

    Args:
        model: Name of a model in the zoo, or a model folder; "auto" (each language's default) and names joined by + load several.
        engine: "openvino" (int8 on the CPU), "torch" (the reference; CUDA in bf16 where there is a GPU), or "auto": torch where
            it is installed and can use a GPU, else openvino.
        threads: CPU threads of the engine; by default one for each CPU that this process may use.
        devices: For a model that does not fit one device: chains of torch devices, each of which shares the model's layers out
            among its devices, see `PipelineParallelEngine`. Then `engine` and `threads` are ignored.

    Returns:
        A `Tagger` for one model, a `LanguageRouter` for several.

    Raises:
        ModelMissingError: There is no such model, a file of it is absent, or two of the models read the same language.
        ModelDamagedError: A file does not fit its digest, its shapes or this version's label sets.
        EngineMissingError: There is no engine of that name, or what it needs is not installed.
    """
    taggers = [_of_package(package, engine, threads, devices) for package in open_models(model).packages]
    if len(taggers) == 1:
        return taggers[0]
    return LanguageRouter(taggers)


def load_one(model: str | Path, engine: EngineName = "auto", threads: int | None = None) -> Tagger:
    """Load a single model as a tagger.

    Args:
        model: Name of a model in the zoo, or a model folder.
        engine: See `load`.
        threads: See `load`.

    Returns:
        The tagger.

    Raises:
        ModelMissingError: There is no such model, or a file of it is absent; "auto" and names joined by + are no single model.
        ModelDamagedError: A file does not fit its digest, its shapes or this version's label sets.
        EngineMissingError: There is no engine of that name, or what it needs is not installed.
    """
    return _of_package(open_package(model), engine, threads)


def _of_package(package: ModelPackage, engine: EngineName, threads: int | None, devices: Sequence[Sequence[str]] = ()) -> Tagger:
    chosen = _staged(package, devices) if devices else make_engine(package, engine, threads or default_threads())
    transitions = package.weights()["transitions"] if package.config.transitions else None
    counts = len(package.calibration), len(package.sentiment_bias)
    classes = len(package.labels.sentiments)
    if counts[0] not in (0, len(UNCALIBRATED)) or counts[1] not in (0, classes):
        raise ModelDamagedError(
            f"{package.folder}: {counts[0]} weights of an entity's score and {counts[1]} of sentiment, not 2 and {classes}"
        )
    return Tagger(
        PieceTokenizer(package.tokenizer_json(), package.folds), chosen, package.lang, package.window,
        transitions=transitions, calibration=package.calibration, sentiment_bias=package.sentiment_bias, labels=package.labels,
    )  # fmt: skip


def _staged(package: ModelPackage, devices: Sequence[Sequence[str]]) -> Engine:
    check_engine("torch")
    from models.runtime.pipeline_parallel import PipelineParallelEngine
    from models.runtime.weights import to_encoder

    return PipelineParallelEngine(to_encoder(package.config, package.weights()), devices)


def check_engine(engine: EngineName) -> None:
    """Check that an engine can be used, without importing what it needs.

    Args:
        engine: Name of the engine, see `load`; "auto" needs OpenVINO.

    Raises:
        EngineMissingError: There is no engine of that name, or what it needs is not installed.
    """
    needs = {"auto": "openvino", "openvino": "openvino", "torch": "torch"}
    if engine not in needs:
        raise EngineMissingError(f"no engine {engine!r}; there are {', '.join(needs)}")
    if find_spec(needs[engine]) is None:
        how = install("torch") if engine == "torch" else "pip install openvino"
        raise EngineMissingError(f"engine {engine!r} is not installed: {how}")


def make_engine(package: ModelPackage, engine: EngineName, threads: int, few_shapes: bool = False) -> Engine:
    """Load a model's weights into an engine.

    Args:
        package: From `open_package`.
        engine: See `load`.
        threads: CPU threads of the engine.
        few_shapes: Whether batches are small and of ever new shapes, see `OpenVinoEngine`.

    Returns:
        An `OpenVinoEngine` or a `TorchEngine`.

    Raises:
        EngineMissingError: There is no engine of that name, or what it needs is not installed.
    """
    check_engine(engine)
    if engine == "openvino" or (engine == "auto" and not _has_cuda()):
        return OpenVinoEngine(package.config, package.weights(), threads, few_shapes=few_shapes)
    from models.runtime.weights import to_encoder

    device = "cuda" if _has_cuda() else "cpu"
    return TorchEngine(to_encoder(package.config, package.weights()), threads, device)


def _has_cuda() -> bool:
    """Whether torch could use a GPU; torch is not imported where there is no NVIDIA driver."""
    if not Path("/proc/driver/nvidia/version").exists():
        return False
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()
