"""Which stage limits a run, with the figures that show it and the setting that would help."""

from __future__ import annotations

from collections.abc import Mapping

# Below this share of the time a stage is not worth a word.
MODEL_BOUND = 0.85
_ADVICE = {
    "read": "the model waits for the input: put it on a faster disk or nearer, or unpack what is packed with bz2",
    "prepare": "telling languages and cleaning take the time: on small runs it is the loading of the language library, which a "
    "larger run does not notice; else leave out --clean where the texts hold no markup",
    "write": "writing takes the time: put the output on a faster disk, or make larger parts with --split-tokens",
}


def describe_bottleneck(
    seconds: Mapping[str, float], wall: float, workers: int, model: str, cache: Mapping[str, float] | None = None
) -> dict[str, object]:
    """Name the stage that limits a run, with its figures and the setting that would help.

    Args:
        seconds: Busy time by stage in seconds, all workers together.
        wall: Seconds that have passed.
        workers: Number of workers; 0 stands for this process, which counts as one.
        model: Name of the model.
        cache: What the cache did, see `pipeline.cache.tag_cache.summary`.

    Returns:
        `limits`: the stage with the most busy time. `shares`: by stage, its part of the time that all workers had, and under
        `start and end` what is left of that. `text`: the same for the user, in words; percentages in it are of the busy time
        only.
    """
    total = max(wall * max(1, workers), 1e-9)
    shares = {stage: round(spent / total, 3) for stage, spent in seconds.items()}
    shares["start and end"] = round(max(0.0, 1 - sum(shares.values())), 3)
    working = sum(seconds.values()) or 1e-9
    stage = max(seconds, key=lambda one: seconds[one])
    part = seconds[stage] / working
    if stage == "model":
        faster = "more CPUs, or --workers with more machines" if model != "en" else "--model en-fast, or more CPUs"
        say = f"the model limits the run ({part:.0%} of the working time), as it should; {faster} would make it faster"
        if part < MODEL_BOUND:
            second = max((one for one in seconds if one != "model"), key=lambda one: seconds[one])
            say += f"; after it {second} ({seconds[second] / working:.0%}): {_ADVICE[second]}"
    else:
        say = f"{stage} limits the run ({part:.0%} of the working time): {_ADVICE[stage]}"
    if cache and cache["hit_rate"]:
        say += f"; {cache['hit_rate']:.0%} of the texts were known, which saved about {cache.get('saved_s', 0.0):,.1f} s of it"
    if cache and (failed := cache.get("failed_calls", 0)):
        kinds = ", ".join(key.removeprefix("failed_") for key in cache if key.startswith("failed_") and key != "failed_calls")
        say += f"; Redis failed {failed:,.0f} times ({kinds}), and what it might have known was computed"
    return {"limits": stage, "shares": shares, "text": say}
