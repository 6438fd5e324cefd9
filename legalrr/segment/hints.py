"""What the neural tagger is told of a sentence beside the language model's state: what other taggers believe, cues,
position."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from legalrr.segment.chances import Chances
from legalrr.segment.features import CUE_NAMES, cues, words_of

if TYPE_CHECKING:
    import numpy as np

POSITIONS = 4


def hints(sentences: Sequence[str], *beliefs: Chances) -> "np.ndarray":
    """Numbers of the order of 1, float32 [sentences, roles of all beliefs + cues + 4].

    Args:
        sentences: of one judgment, in order.
        beliefs: what taggers that were not trained on this judgment believe of them.
    """
    import numpy as np

    total = len(sentences)
    rows = np.zeros((total, len(CUE_NAMES) + POSITIONS), np.float32)
    for i, sentence in enumerate(sentences):
        words = words_of(sentence)
        found = set(cues(sentence, words))
        where = [i / total, math.log1p(i) / 5, math.log1p(total - 1 - i) / 5, min(len(words), 100) / 50]
        rows[i] = [*(float(name in found) for name in CUE_NAMES), *where]
    return np.concatenate([*(one.logs().astype(np.float32) / 3 for one in beliefs), rows], axis=1)
