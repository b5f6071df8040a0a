"""The miniature's tokenizer: one token for a phrasing, a wording, a tag or a digit.

Tags and `\\boxed{` are ordinary tokens, because special ones are stripped before a reward function
sees the text. The vocabulary has only tokens that pre-training uses, since a Challenger would
exploit untrained ones. Any other text is the unknown token.
"""

from __future__ import annotations

import re

from tokenizers import Regex, Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import PreTrainedTokenizerFast

from rzero_cli.world.questions import PHRASINGS, TAGS, WORDINGS

PAD, BOS, EOS, UNK = "<pad>", "<bos>", "<eos>", "<unk>"
CHALLENGER, SOLVER, ASSISTANT = "<|challenger|>", "<|solver|>", "<|assistant|>"
SPECIAL = (PAD, BOS, EOS, UNK, CHALLENGER, SOLVER, ASSISTANT)
# A phrasing includes the space after it: a Challenger would learn to omit a separate space token.
PIECES = (
    *TAGS,
    *"0123456789",
    *(f"{phrasing} " for phrasing in PHRASINGS),
    *(wording for pair in WORDINGS.values() for wording in pair),
)

# The long prompts of the two roles become one token each, so the miniature uses the same prompts as
# a large model. Only the Challenger's prompt mentions the <question> tag.
CHAT_TEMPLATE = (
    "{%- set role = namespace(challenger=false, question='') -%}"
    "{%- for message in messages -%}"
    "{%- if '<question>' in message['content'] and message['role'] != 'assistant' -%}"
    "{%- set role.challenger = true -%}{%- endif -%}"
    "{%- if message['role'] == 'user' -%}"
    "{%- set role.question = message['content'] -%}{%- endif -%}"
    "{%- endfor -%}"
    f"{{{{- '{BOS}' -}}}}"
    f"{{%- if role.challenger -%}}{{{{- '{CHALLENGER}' -}}}}"
    f"{{%- else -%}}{{{{- '{SOLVER}' + role.question -}}}}{{%- endif -%}}"
    f"{{%- if messages[-1]['role'] == 'assistant' -%}}"
    f"{{{{- '{ASSISTANT}' + messages[-1]['content'] + '{EOS}' -}}}}"
    f"{{%- elif add_generation_prompt -%}}{{{{- '{ASSISTANT}' -}}}}{{%- endif -%}}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer, the same for every seed and size."""
    vocabulary = {piece: i for i, piece in enumerate((*SPECIAL, *PIECES))}
    core = Tokenizer(WordLevel(vocabulary, unk_token=UNK))
    # The longest piece first, or a shorter one could match its start. All text up to the next piece
    # is one unknown token, so a sentence in plain English does not exceed the context.
    piece = "|".join(re.escape(p) for p in sorted(PIECES, key=len, reverse=True))
    pattern = rf"{piece}|(?:(?!{piece})[\s\S])+"
    core.pre_tokenizer = Split(Regex(pattern), "isolated")
    core.decoder = Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        additional_special_tokens=[CHALLENGER, SOLVER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        padding_side="left",
        model_max_length=64,
    )
