"""A judgment counts as asked about when all its conversations have ended without a refusal, also in a later process."""

from pathlib import Path

from legalrr.records import Completion
from legalrr.run import held
from legalrr.run.held import HeldConversations

DONE = Completion(id="j", turns=())


def test_a_group_is_stored_when_all_its_conversations_have_ended(tmp_path: Path) -> None:
    first = HeldConversations(tmp_path)
    first.start("whole", [1, 2])
    first.start("unfinished", [3, 4])
    first.start("refused", [5, 6])
    for conversation in (1, 3, 5, 2):
        first.end(conversation, DONE)
    first.end(6, Completion(id="j", turns=(), error="filtered"))
    first.end(7, DONE)
    first.close()
    later = HeldConversations(tmp_path)
    assert [key in later for key in ("whole", "unfinished", "refused")] == [True, False, False]


def test_groups_are_stored_before_the_sweep_ends(tmp_path: Path) -> None:
    first = HeldConversations(tmp_path)
    for number in range(held.BATCH + 1):
        first.start(str(number), [number])
        first.end(number, DONE)
    later = HeldConversations(tmp_path)
    assert "0" in later
    assert str(held.BATCH) not in later
