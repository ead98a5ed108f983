"""How sure a tagger is of an entity, as a probability, and which entities are too doubtful to count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.runtime.schema import TAGS

# Slope and constant that leave a score as it is.
UNCALIBRATED = (1.0, 0.0)
_EDGE = 1e-6

Float32 = npt.NDArray[np.float32]


def margin(score: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Compute log(p / (1 - p)) of scores, which are kept off 0 and 1.

    Args:
        score: From 0 to 1, any shape.

    Returns:
        Float64, of the same shape.
    """
    p = np.clip(np.asarray(score, np.float64), _EDGE, 1 - _EDGE)
    found: npt.NDArray[np.float64] = np.log(p / (1 - p))
    return found


def calibrated(score: Float32, calibration: Sequence[float]) -> Float32:
    """Turn the model's own scores into probabilities that the entities are right (Platt, 1999).

    Args:
        score: Mean probability of an entity's type over its units, float32, shape (E,).
        calibration: Slope and constant of a logistic function of the score's margin; none leaves the scores as they are.

    Returns:
        Float32, shape (E,).
    """
    if not calibration:
        return score
    slope, constant = calibration
    found: Float32 = (1 / (1 + np.exp(-(slope * margin(score) + constant)))).astype(np.float32)
    return found


def surer(tags: pa.Table, min_score: float) -> pa.Table:
    """Leave out the entities that are less sure.

    Args:
        tags: Rows with the column `entities`, as `models.TAGS` has it.
        min_score: The least score that stays, from 0 to 1.

    Returns:
        The rows, with fewer entities; the same table if none is below.
    """
    at = tags.schema.get_field_index("entities")
    column = pa.chunked_array(tags.columns[at].chunks, TAGS.field("entities").type).combine_chunks()
    values = column.flatten()
    keep = np.asarray(pc.greater_equal(values.field("score"), pa.scalar(min_score, pa.float32())))
    if keep.all():
        return tags
    doc = np.repeat(np.arange(len(column)), np.asarray(column.value_lengths()))
    offsets = np.append(0, np.cumsum(np.bincount(doc[keep], minlength=len(column)))).astype(np.int32)
    kept = pa.ListArray.from_arrays(pa.array(offsets), values.filter(pa.array(keep)), type=TAGS.field("entities").type)
    return tags.set_column(at, tags.schema.field(at), kept)
