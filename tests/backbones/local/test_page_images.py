"""Page images in a prompt: prefix cache, chunks and batches do not change answers.

The oracle is the library's own model in float32 and eager attention, with pixels, kinds of tokens and grids as its
processor would give them, which finds positions by itself; one prompt at a time, and nothing held.
"""

import hashlib
import shutil
from dataclasses import replace

import pytest

from legalrr.conversations import CallList
from legalrr.corpora.pdf_folder import render_pages
from legalrr.errors import UserError
from legalrr.protocols import Call, PageTokens
from legalrr.records import Message, Page

FAMILIES = ("qwen3_vl", "qwen3_vl_moe")
ANSWERS = ("YES", "NO", "N", "YES, in part")
NEW = 4
TOLERANCE = 1e-4


def ask(*parts, key=None, answers=(), before=(), pages=()):
    """A call whose parts are texts or pages."""
    message = Message(role="user", parts=parts)
    return Call(
        key=key or repr(parts),
        messages=(*before, message.fill({})),
        max_new_tokens=NEW,
        answers=answers,
        pages=(*pages, *message.pages),
    )


def replies(batches):
    return {key: reply for batch in batches for key, reply in batch}


def texts(got):
    return {key: reply.text for key, reply in got.items()}


class Oracle:
    def __init__(self, folder):
        from transformers import AutoModelForImageTextToText, AutoTokenizer, Qwen2VLImageProcessorPil

        self.model = AutoModelForImageTextToText.from_pretrained(folder, attn_implementation="eager").eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.processor = Qwen2VLImageProcessorPil.from_pretrained(folder)

    def inputs(self, call, more=()):
        import torch

        text = self.tokenizer.apply_chat_template(list(call.messages), tokenize=False, add_generation_prompt=True)
        images = {}
        if call.pages:
            images = dict(self.processor(images=list(render_pages(call.pages)), return_tensors="pt"))
            head, *rest = text.split("<|image_pad|>")
            pads = [int(grid.prod()) // self.processor.merge_size**2 for grid in images["image_grid_thw"]]
            text = head + "".join("<|image_pad|>" * n + after for n, after in zip(pads, rest, strict=True))
        ids = torch.tensor([self.tokenizer(text, add_special_tokens=False)["input_ids"] + list(more)])
        # State of the last call in the model would matter here.
        self.model.model.rope_deltas = None
        kinds = (ids == self.model.config.image_token_id).int()
        return {"input_ids": ids, "mm_token_type_ids": kinds} | images

    def length(self, call):
        return self.inputs(call)["input_ids"].shape[1]

    def greedy(self, call):
        inputs = self.inputs(call)
        written = self.model.generate(**inputs, max_new_tokens=NEW, do_sample=False)
        return self.tokenizer.decode(written[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    def weigh(self, call, answer):
        import torch

        wanted = self.tokenizer(answer, add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            logits = self.model(**self.inputs(call, wanted), use_cache=False).logits[0]
        after = logits.log_softmax(-1)[self.length(call) - 1 :]
        return sum(after[place, token].item() for place, token in enumerate(wanted))


@pytest.fixture(scope="module")
def oracle(seeing):
    known = {}

    def get(name):
        if name not in known:
            known[name] = Oracle(seeing(name))
        return known[name]

    return get


@pytest.fixture
def calls(scans):
    """Calls of different lengths that share pages, differ in one page of the same size, or have none."""
    one, two, three, four, wide = scans
    return [
        ask("Page 1:", one, "Page 2:", two, "Who built it?"),
        ask("Page 1:", one, "Page 2:", two, "YES?"),
        ask("Page 1:", one, "Page 2:", three, "Who built it?"),
        ask("Page 1:", four, "Page 2:", two, "Who built it?"),
        ask(wide, one, two, three, four),
        ask("The wall stood on the boundary. Who built it?"),
    ]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(
    "fields", [{"prefix_cache_gb": 0.0}, {"batch_tokens": 1}, {"prefill_chunk": 9}, {"prefill_chunk": 20}]
)
def test_text_equals_the_reference_with_and_without_cache_and_batches(fresh, seeing, oracle, calls, name, fields):
    engine = fresh(seeing(name), **fields)
    assert engine.can.images
    wanted = {call.key: oracle(name).greedy(call) for call in calls}
    assert len(set(wanted.values())) > 3, "images make a difference"
    for _ in range(2):
        assert texts(replies(engine.answer(CallList(calls)))) == wanted


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(
    "fields", [{"prefix_cache_gb": 0.0}, {"prefill_chunk": 9}, {"prefill_chunk": 20}, {"attention": "eager"}]
)
def test_logprobs_equal_the_reference_with_and_without_cache(fresh, seeing, oracle, calls, name, fields):
    got = replies(fresh(seeing(name), **fields).answer(CallList([replace(call, answers=ANSWERS) for call in calls])))
    exact = {call.key: {answer: oracle(name).weigh(call, answer) for answer in ANSWERS} for call in calls}
    for key, reply in got.items():
        assert reply.logprobs == pytest.approx(exact[key], abs=TOLERANCE)
    # Pages of one size differ only in their pixels.
    assert abs(exact[calls[0].key]["YES"] - exact[calls[2].key]["YES"]) > 100 * TOLERANCE


def test_a_cached_prefix_ends_at_the_first_other_image(fresh, seeing, scans):
    one, two, three, *_ = scans
    engine = fresh(seeing("qwen3_vl"))
    first, same, other = (
        ask(one, "and", page, "What?", answers=ANSWERS, key=key)
        for key, page in (("first", two), ("same", two), ("other", three))
    )
    begun = replies(engine.answer(CallList([first])))["first"]
    read = engine.tokens_read
    assert read == begun.prompt_tokens
    again = replies(engine.answer(CallList([same])))["same"]
    # The last token is always computed.
    assert again.cached_tokens == begun.prompt_tokens - 1
    ids = engine._tokenize([first])[0][0]
    apart = replies(engine.answer(CallList([other])))["other"]
    assert apart.cached_tokens == ids.pictures[1].start
    assert engine.tokens_read == read + 1 + apart.prompt_tokens - ids.pictures[1].start


def test_shared_prefixes_with_images_are_computed_once(fresh, seeing, calls):
    engine = fresh(seeing("qwen3_vl"), prefix_cache_gb=1e-9)
    asked, _ = engine._tokenize(calls)
    distinct = {tuple(one.ids[:length]) for one in asked for length in range(1, len(one.ids) + 1)}
    list(engine.answer(CallList(calls)))
    assert engine.tokens_read == len(distinct), "nothing is kept from call to call, so the tree alone does it"


def test_a_second_turn_does_not_compute_images_again(fresh, seeing, oracle, scans, monkeypatch):
    engine = fresh(seeing("qwen3_vl"))
    first = ask("See", scans[0], "and", scans[4], key="1")
    answer = replies(engine.answer(CallList([first])))["1"]
    monkeypatch.setattr(engine._vision.processor, "preprocess", lambda *_, **__: pytest.fail("drawn again"))
    before = (*first.messages, {"role": "assistant", "content": answer.text})
    second = ask("And now?", key="2", before=before, pages=first.pages)
    again = replies(engine.answer(CallList([second])))["2"]
    monkeypatch.undo()
    assert again.text == oracle("qwen3_vl").greedy(second)
    assert answer.prompt_tokens - 1 <= again.cached_tokens < again.prompt_tokens


def test_image_tokens_count_as_tokens_of_the_prompt(fresh, seeing, oracle, calls, scans):
    engine = fresh(seeing("qwen3_vl"))
    assert isinstance(engine, PageTokens)
    got = replies(engine.answer(CallList(calls)))
    for call in calls:
        assert got[call.key].prompt_tokens == oracle("qwen3_vl").length(call)
        pages = sum(engine.page_tokens(page) for page in call.pages)
        bare = replace(call, messages=(ask("".join(_words(call))).messages), pages=())
        assert got[call.key].prompt_tokens == oracle("qwen3_vl").length(bare) + pages


def _words(call):
    content = call.messages[-1]["content"]
    return [content] if isinstance(content, str) else [part.get("text", "") for part in content]


def test_a_chunk_contains_whole_images_within_its_size(fresh, seeing, scans, monkeypatch):
    engine = fresh(seeing("qwen3_vl"), prefill_chunk=16)
    widths, drawn = [], []
    call = ask(*scans, answers=("Y", "N"))
    (asked,), _ = engine._tokenize([call])

    def note(_, given):
        widths.append(given["input_ids"].shape[1])
        drawn.append(len(given.get("image_grid_thw", ())))

    engine.model.register_forward_pre_hook(lambda module, args, kwargs: note(args, kwargs), with_kwargs=True)
    list(engine.answer(CallList([call])))
    assert sum(widths) == len(asked.ids)
    assert sum(drawn) == len(scans)
    assert max(widths) <= 16
    assert max(drawn) == 1, "two of 12 and 8 tokens do not fit"
    engine = fresh(seeing("qwen3_vl"), prefill_chunk=5)
    widths.clear()
    engine.model.register_forward_pre_hook(lambda module, args, kwargs: note(args, kwargs), with_kwargs=True)
    list(engine.answer(CallList([call])))
    assert max(widths) == 12, "an image that is longer than a chunk is read in one"


def test_images_beyond_the_context_are_an_overflow_and_not_rendered(fresh, seeing, scans, monkeypatch):
    call = ask(*scans)
    length = len(fresh(seeing("qwen3_vl"))._tokenize([call])[0][0].ids)
    assert [
        r.finish_reason
        for r in replies(fresh(seeing("qwen3_vl"), context=length + NEW).answer(CallList([call]))).values()
    ]
    engine = fresh(seeing("qwen3_vl"), context=length + NEW - 1)
    monkeypatch.setattr(engine._vision.processor, "preprocess", lambda *_, **__: pytest.fail("drawn"))
    (reply,) = replies(engine.answer(CallList([call]))).values()
    assert (reply.finish_reason, reply.prompt_tokens, reply.text) == ("overflow", length, "")


@pytest.mark.parametrize("prefix_cache_gb", [0.0, 1.0])
def test_positions_do_not_depend_on_an_earlier_call(fresh, seeing, oracle, calls, prefix_cache_gb):
    import torch

    engine = fresh(seeing("qwen3_vl"), prefix_cache_gb=prefix_cache_gb)
    engine.model.model.rope_deltas = torch.full((5, 1), 17)
    assert texts(replies(engine.answer(CallList(calls[3:])))) == {
        call.key: oracle("qwen3_vl").greedy(call) for call in calls[3:]
    }


def test_limits_of_pixels_are_the_checkpoints(fresh, seeing, scans, tmp_path):
    folder = shutil.copytree(seeing("qwen3_vl"), tmp_path / "other")
    page = scans[0]
    assert fresh(folder).page_tokens(page) == 3 * 4 + 2
    assert fresh(folder).page_tokens(replace(page, dpi=144)) == 3 * 4 + 2, "1024 pixels at most"
    settings = folder / "preprocessor_config.json"
    settings.write_text(settings.read_text().replace("1024", "4096"))
    assert fresh(folder).page_tokens(replace(page, dpi=144)) == 6 * 8 + 2
    settings.write_text(settings.read_text().replace("256", "4096"))
    assert fresh(folder).page_tokens(page) == 7 * 10 + 2, "4096 pixels at least"
    nested = '{"processor_class": "Qwen3VLProcessor", "image_processor": ' + settings.read_text() + "}"
    (folder / "processor_config.json").write_text(nested)
    settings.unlink()
    assert fresh(folder).page_tokens(page) == 7 * 10 + 2


def test_a_model_without_an_image_processor_is_text_only(fresh, family, scans):
    engine = fresh(family("qwen3_vl"))
    assert not engine.can.images
    with pytest.raises(UserError, match=r"backbone\.model: this model reads no images .*input=text"):
        list(engine.answer(CallList([ask(scans[0])])))
    with pytest.raises(UserError, match="reads no images"):
        engine.page_tokens(scans[0])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("{", "not a valid JSON"),
        (
            '{"image_processor_type": "ViTImageProcessor"}',
            "it is a ViTImageProcessor, not one of Qwen2VLImageProcessor, ",
        ),
        ("{}", "it is a None"),
    ],
)
def test_an_unusable_image_processor_fails_at_the_first_page_but_not_for_text(
    fresh, seeing, oracle, scans, tmp_path, settings, words
):
    folder = shutil.copytree(seeing("qwen3_vl"), tmp_path / "broken")
    (folder / "preprocessor_config.json").write_text(settings)
    engine = fresh(folder)
    text = ask("Why?")
    assert replies(engine.answer(CallList([text])))[text.key].text == oracle("qwen3_vl").greedy(text)
    with pytest.raises(UserError, match=rf"backbone\.model: the image processor of .* cannot be used: .*{words}"):
        engine.page_tokens(scans[0])


def test_a_template_that_ignores_images_and_a_text_with_their_token_are_refused(fresh, seeing, scans, tmp_path):
    folder = shutil.copytree(seeing("qwen3_vl"), tmp_path / "blind")
    with pytest.raises(UserError, match=r"2 image tokens for 1 pages .*contains the model's image token"):
        list(fresh(folder).answer(CallList([ask(scans[0], "<|image_pad|>")])))
    template = folder / "chat_template.jinja"
    source = template.read_text()
    template.write_text(source.replace("<|image_pad|>", ""))
    with pytest.raises(UserError, match=r"0 image tokens for 1 pages .*ignores images"):
        list(fresh(folder).answer(CallList([ask(scans[0])])))
    template.write_text(source.replace("is string", "is defined").replace("{{ m['content']", "{{ '' + m['content']"))
    with pytest.raises(UserError, match=r"the chat template rejects this conversation \(user\)"):
        list(fresh(folder).answer(CallList([ask(scans[0])])))


def test_a_page_with_an_impossible_aspect_ratio_is_named(fresh, seeing, tmp_path):
    from PIL import Image

    path = tmp_path / "strip.pdf"
    Image.new("RGB", (900, 4)).save(path, resolution=72)
    page = Page(path=str(path), number=1, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), start=0, end=0, dpi=72)
    with pytest.raises(UserError, match=r"strip\.pdf, page 1: an image of 900 x 4 pixels: .*aspect ratio"):
        fresh(seeing("qwen3_vl")).page_tokens(page)
