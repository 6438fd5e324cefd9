"""What the neural tagger is told of a sentence beside the language model's state: the CRF's beliefs, cues, position."""

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from legalrr.segment.chances import Chances
from legalrr.segment.features import CUES

if TYPE_CHECKING:
    import numpy as np

POSITIONS = 4


def hints(sentences: Sequence[str], chances: Chances) -> "np.ndarray":
    """Numbers of the order of 1, float32 [sentences, roles + cues + 4].

    Args:
        sentences: of one judgment, in order.
        chances: what a CRF that was not trained on this judgment believes of them.
    """
    import numpy as np

    total = len(sentences)
    rows = np.zeros((total, len(CUES) + POSITIONS), np.float32)
    for i, sentence in enumerate(sentences):
        cues = [float(pattern.search(sentence) is not None) for pattern in CUES.values()]
        words = len(re.findall(r"\w+", sentence))
        where = [i / total, math.log1p(i) / 5, math.log1p(total - 1 - i) / 5, min(words, 100) / 50]
        rows[i] = [*cues, *where]
    return np.concatenate([chances.logs().astype(np.float32) / 3, rows], axis=1)
