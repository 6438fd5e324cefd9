"""Overlap of words between a generated text and the court's: ROUGE and METEOR, by their reference packages.

ROUGE    rouge-score, a re-implementation of ROUGE-1.5.5 (Lin, ROUGE: A Package for Automatic Evaluation of Summaries,
         2004): lower case, words of [a-z0-9], words of more than three letters stemmed. Its own ROUGE-L fills a table
         of all pairs of words in Python, seconds for a judgment; `common_subsequence` gives the same number.
METEOR   nltk (Lavie, Agarwal, METEOR, 2007): alpha 0.9, beta 3, gamma 0.5; lower case; words matched as they are, then
         by Porter's stems, then as synonyms of WordNet (nltk looks up the stems, so only words that are their own stem
         have any). Words are those of nltk's NLTKWordTokenizer, sentence by sentence as `legalrr.sentences`
         parts them: nltk's own splitter needs data that does not ship.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from legalrr.errors import UserError
from legalrr.score.metrics import Pair
from legalrr.sentences import split
from legalrr.stage import check_fields, choice

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

REMEMBERED = 4096
"""Texts whose words are remembered: the court's text is compared with what every arm wrote."""


@dataclass(frozen=True, kw_only=True)
class Rouge:
    """ROUGE-1, ROUGE-2 and ROUGE-L (protocol `Metric`): precision, recall and F1 of each."""

    stemming: str = choice("porter", "porter", "none")
    """`porter` or `none`."""

    VERSION: ClassVar[int] = 1
    name: ClassVar[str] = "rouge"
    shown: ClassVar[Mapping[str, str]] = {"rouge_1": "ROUGE-1", "rouge_2": "ROUGE-2", "rouge_l": "ROUGE-L"}

    def __post_init__(self) -> None:
        """Refuse a stemming that does not exist."""
        check_fields(self, "")

    @property
    def detail(self) -> str:
        """See `legalrr.score.metrics.Metric`."""
        return "F1, " + ("words stemmed by Porter's rules" if self.stemming == "porter" else "words not stemmed")

    def provenance(self) -> Mapping[str, Any]:
        """Versions of the packages; raises UserError where one is not installed."""
        return _versions("rouge-score", "nltk")

    def scores(self, pairs: Sequence[Pair]) -> Iterator[Mapping[str, float]]:
        """See `legalrr.score.metrics.Metric`."""
        from rouge_score.scoring import fmeasure

        scorer = _rouge(self.stemming)
        for generated, court in pairs:
            found = scorer.score(court, generated)
            words, wanted = (_rouge_words(text, self.stemming) for text in (generated, court))
            common = common_subsequence(words, wanted)
            precision, recall = (common / max(len(side), 1) for side in (words, wanted))
            row: dict[str, float] = {}
            for column, (p, r, f) in {
                "rouge_1": found["rouge1"],
                "rouge_2": found["rouge2"],
                "rouge_l": (precision, recall, fmeasure(precision, recall)),
            }.items():
                row |= {column: float(f), f"{column}_precision": float(p), f"{column}_recall": float(r)}
            yield row


@dataclass(frozen=True, kw_only=True)
class Meteor:
    """METEOR (protocol `Metric`); without synonyms it goes by a name of its own."""

    synonyms: str = choice("no_synonyms", "wordnet", "no_synonyms")
    """`wordnet`: its data must be where nltk looks; `no_synonyms`: words match as they are or by their stems."""

    VERSION: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Refuse a choice that does not exist."""
        check_fields(self, "")

    @property
    def name(self) -> str:
        """See `legalrr.score.metrics.Metric`."""
        return "meteor" if self.synonyms == "wordnet" else "meteor_no_synonyms"

    @property
    def shown(self) -> Mapping[str, str]:
        """See `legalrr.score.metrics.Metric`."""
        return {self.name: "METEOR" if self.synonyms == "wordnet" else "METEOR without synonyms"}

    @property
    def detail(self) -> str:
        """See `legalrr.score.metrics.Metric`."""
        return "exact words, Porter's stems" + (", synonyms of WordNet" if self.synonyms == "wordnet" else "")

    def provenance(self) -> Mapping[str, Any]:
        """Versions of nltk and WordNet; raises UserError where one is not there."""
        found = _versions("nltk")
        return {**found, "wordnet": _wordnet().get_version()} if self.synonyms == "wordnet" else found

    def scores(self, pairs: Sequence[Pair]) -> Iterator[Mapping[str, float]]:
        """See `legalrr.score.metrics.Metric`."""
        from nltk.translate.meteor_score import single_meteor_score

        synonyms = _wordnet() if self.synonyms == "wordnet" else NoSynonyms()
        for generated, court in pairs:
            score = single_meteor_score(
                meteor_words(court), meteor_words(generated), stemmer=_Stems(), wordnet=synonyms
            )
            yield {self.name: float(score)}


class NoSynonyms:
    """A WordNet without a word."""

    def synsets(self, word: str) -> list[Any]:
        """None."""
        return []


@lru_cache(maxsize=REMEMBERED)
def meteor_words(text: str) -> tuple[str, ...]:
    """The words that METEOR counts, punctuation too."""
    from nltk.tokenize import NLTKWordTokenizer

    tokenizer = NLTKWordTokenizer()
    return tuple(word for start, end in split(text) for word in tokenizer.tokenize(text[start:end]))


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, with a bit per word of `first` (Hyyrö, Bit-Parallel LCS-length
    Computation Revisited, AWOCA 2004, figure 5)."""
    places: dict[str, int] = {}
    for place, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << place
    every = (1 << len(first)) - 1
    unmatched = every
    for word in second:
        hits = unmatched & places.get(word, 0)
        unmatched = (unmatched + hits | unmatched - hits) & every
    return len(first) - unmatched.bit_count()


def common_subsequence_reference(first: Sequence[str], second: Sequence[str]) -> int:
    """The same by the table of all pairs: what `common_subsequence` is checked against."""
    row = [0] * (len(second) + 1)
    for word in first:
        above, row = row, [0]
        for place, other in enumerate(second):
            row.append(above[place] + 1 if word == other else max(above[place + 1], row[place]))
    return row[-1]


class _Stems:
    """Porter's stems, each word's looked up once."""

    def stem(self, word: str) -> str:
        return _stem(word)


@lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
    return str(_porter().stem(word))


@lru_cache
def _porter() -> Any:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()


@lru_cache(maxsize=REMEMBERED)
def _rouge_words(text: str, stemming: str) -> tuple[str, ...]:
    from rouge_score.tokenize import tokenize

    return tuple(tokenize(text, _Stems() if stemming == "porter" else None))


@lru_cache
def _rouge(stemming: str) -> "RougeScorer":
    """A scorer of n-grams over the words that are remembered."""
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import Tokenizer

    class Remembered(Tokenizer):
        def tokenize(self, text: str) -> tuple[str, ...]:
            return _rouge_words(text, stemming)

    return RougeScorer(["rouge1", "rouge2"], tokenizer=Remembered())


def _wordnet() -> Any:
    """The WordNet of nltk; raises UserError where its data is not."""
    from nltk.corpus import wordnet

    try:
        wordnet.ensure_loaded()
    except (LookupError, OSError) as error:
        raise UserError(
            "the data of WordNet is not where nltk looks, or not whole",
            where="meteor",
            cure="python -m nltk.downloader wordnet (or put its folder at $NLTK_DATA/corpora/wordnet), or choose "
            "no_synonyms",
        ) from error
    return wordnet


def _versions(*packages: str) -> dict[str, str]:
    for package in packages:
        if find_spec(package.replace("-", "_")) is None:
            raise UserError(
                f"the package {package} is not installed",
                where="explanation metrics",
                cure=f"pip install 'legalrr[explanation]', or pip install {package}",
            )
    return {package: version(package) for package in packages}
