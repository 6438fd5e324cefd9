"""Compute ROUGE and METEOR of a generated text against the court's, with their reference packages.

ROUGE    rouge-score, a re-implementation of ROUGE-1.5.5 (Lin, ROUGE: A Package for Automatic Evaluation of Summaries,
         2004): lower case, words of [a-z0-9], words of more than three letters stemmed. Its own ROUGE-L fills a table
         of all pairs of words in Python, which takes seconds for a judgment; `common_subsequence` gives the same
         number.
METEOR   nltk (Lavie, Agarwal, METEOR, 2007): alpha 0.9, beta 3, gamma 0.5; lower case; words matched exactly, then by
         Porter stems, then as synonyms of WordNet (nltk looks up the stems, so only words that equal their stem have
         any). Words are those of nltk's NLTKWordTokenizer, applied to each sentence of `legalrr.sentences`: nltk's own
         splitter needs data that does not ship.
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

CACHED_TEXTS = 4096
"""Number of texts whose words are cached: the court's text is compared with those of every arm."""


@dataclass(frozen=True, kw_only=True)
class Rouge:
    """ROUGE-1, ROUGE-2 and ROUGE-L (protocol `Metric`): precision, recall and F1 of each."""

    stemming: str = choice("porter", "porter", "none")
    """`porter` or `none`."""

    VERSION: ClassVar[int] = 1
    name: ClassVar[str] = "rouge"
    headings: ClassVar[Mapping[str, str]] = {"rouge_1": "ROUGE-1", "rouge_2": "ROUGE-2", "rouge_l": "ROUGE-L"}

    def __post_init__(self) -> None:
        """Raise UserError for an unknown stemming."""
        check_fields(self, "")

    @property
    def detail(self) -> str:
        """See `legalrr.score.metrics.Metric`."""
        return "F1, " + ("words stemmed by Porter's rules" if self.stemming == "porter" else "words not stemmed")

    def provenance(self) -> Mapping[str, Any]:
        """Return the versions of the packages; raises UserError if one is not installed."""
        return _versions("rouge-score", "nltk")

    def scores(self, pairs: Sequence[Pair]) -> Iterator[Mapping[str, float]]:
        """See `legalrr.score.metrics.Metric`."""
        from rouge_score.scoring import fmeasure

        scorer = _rouge(self.stemming)
        for generated, court in pairs:
            found = scorer.score(court, generated)
            words, reference = (_rouge_words(text, self.stemming) for text in (generated, court))
            common = common_subsequence(words, reference)
            precision, recall = (common / max(len(side), 1) for side in (words, reference))
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
    """METEOR (protocol `Metric`); without synonyms it has a different name."""

    synonyms: str = choice("no_synonyms", "wordnet", "no_synonyms")
    """`wordnet`: needs the WordNet data of nltk; `no_synonyms`: words match exactly or by their stems."""

    VERSION: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Raise UserError for an unknown choice."""
        check_fields(self, "")

    @property
    def name(self) -> str:
        """See `legalrr.score.metrics.Metric`."""
        return "meteor" if self.synonyms == "wordnet" else "meteor_no_synonyms"

    @property
    def headings(self) -> Mapping[str, str]:
        """See `legalrr.score.metrics.Metric`."""
        return {self.name: "METEOR" if self.synonyms == "wordnet" else "METEOR without synonyms"}

    @property
    def detail(self) -> str:
        """See `legalrr.score.metrics.Metric`."""
        return "exact words, Porter's stems" + (", synonyms of WordNet" if self.synonyms == "wordnet" else "")

    def provenance(self) -> Mapping[str, Any]:
        """Return the versions of nltk and WordNet; raises UserError if one is missing."""
        found = _versions("nltk")
        return {**found, "wordnet": _wordnet().get_version()} if self.synonyms == "wordnet" else found

    def scores(self, pairs: Sequence[Pair]) -> Iterator[Mapping[str, float]]:
        """See `legalrr.score.metrics.Metric`."""
        from nltk.translate.meteor_score import single_meteor_score

        synonyms = _wordnet() if self.synonyms == "wordnet" else NoSynonyms()
        for generated, court in pairs:
            score = single_meteor_score(
                meteor_words(court), meteor_words(generated), stemmer=_CachedStemmer(), wordnet=synonyms
            )
            yield {self.name: float(score)}


class NoSynonyms:
    """Empty WordNet."""

    def synsets(self, word: str) -> list[Any]:
        """Return no synsets."""
        return []


@lru_cache(maxsize=CACHED_TEXTS)
def meteor_words(text: str) -> tuple[str, ...]:
    """Split a text into the words that METEOR counts, including punctuation."""
    from nltk.tokenize import NLTKWordTokenizer

    tokenizer = NLTKWordTokenizer()
    return tuple(word for start, end in split(text) for word in tokenizer.tokenize(text[start:end]))


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Compute the length of the longest common subsequence, with one bit per word of `first`.

    Source: Hyyrö, Bit-Parallel LCS-length Computation Revisited, AWOCA 2004, figure 5.
    """
    masks: dict[str, int] = {}
    for position, word in enumerate(first):
        masks[word] = masks.get(word, 0) | 1 << position
    all_bits = (1 << len(first)) - 1
    unmatched = all_bits
    for word in second:
        hits = unmatched & masks.get(word, 0)
        unmatched = (unmatched + hits | unmatched - hits) & all_bits
    return len(first) - unmatched.bit_count()


def common_subsequence_reference(first: Sequence[str], second: Sequence[str]) -> int:
    """Compute the same by dynamic programming over all pairs: the reference for `common_subsequence`."""
    row = [0] * (len(second) + 1)
    for word in first:
        above, row = row, [0]
        for column, other in enumerate(second):
            row.append(above[column] + 1 if word == other else max(above[column + 1], row[column]))
    return row[-1]


class _CachedStemmer:
    """Porter stemmer with a cache."""

    def stem(self, word: str) -> str:
        return _stem(word)


@lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
    return str(_porter().stem(word))


@lru_cache
def _porter() -> Any:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()


@lru_cache(maxsize=CACHED_TEXTS)
def _rouge_words(text: str, stemming: str) -> tuple[str, ...]:
    from rouge_score.tokenize import tokenize

    return tuple(tokenize(text, _CachedStemmer() if stemming == "porter" else None))


@lru_cache
def _rouge(stemming: str) -> "RougeScorer":
    """Build a scorer of n-grams over cached words."""
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import Tokenizer

    class CachedTokenizer(Tokenizer):
        def tokenize(self, text: str) -> tuple[str, ...]:
            return _rouge_words(text, stemming)

    return RougeScorer(["rouge1", "rouge2"], tokenizer=CachedTokenizer())


def _wordnet() -> Any:
    """Return the WordNet of nltk; raises UserError if its data is missing."""
    from nltk.corpus import wordnet

    try:
        wordnet.ensure_loaded()
    except (LookupError, OSError) as error:
        raise UserError(
            "the WordNet data of nltk is missing or incomplete",
            where="meteor",
            cure="python -m nltk.downloader wordnet (or put its folder at $NLTK_DATA/corpora/wordnet), or use "
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
