"""Text that speaks to a program instead of about a patient. It is no source of anything."""

import re

from hisbus_documentation.plain import plain

_PATTERNS = re.compile(
    "|".join(
        (
            r"\b(?:ignore|disregard|forget|override|bypass)\b.{0,40}\b(?:instruction|prompt|rule|above|previous|prior|system|guideline)",
            r"\b(?:system|developer|assistant|user) ?(?:prompt|message|role|override)\b",
            r"\byou are (?:now|a|an) .{0,30}(?:assistant|model|ai\b|bot|language)",
            r"\bas an? (?:ai|language model|assistant)\b",
            r"\b(?:write|output|print|respond|reply|answer|return|say|state|insert|add) "
            r"(?:only|exactly|that|the following|instead)\b.{0,80}"
            r"\b(?:note|record|summary|draft|section|patient|json|document)",
            r"\b(?:note|attention|message|instruction)s? (?:to|for) (?:the )?"
            r"(?:ai|model|assistant|agent|llm|summari[sz]er|system)\b",
            r"\bhey ?,? ?(?:dragon|siri|alexa|google|copilot)\b",
            r"<\|?/?(?:im_start|im_end|system|assistant|user|inst|s)\|?>|\[/?inst\]|###? ?(?:system|instruction)",
            r"(?:忽略|无视|忘记|忘掉|不要理会|绕过).{0,4}(?:以上|上述|之前|前面|先前|此前|所有|上文|一切|系统|原有)"
            r".{0,10}(?:指令|指示|提示|要求|规则)",
            r"(?:系统提示|提示词|系统指令|开发者指令|越狱)",
            r"(?:你|您)(?:现在)?(?:是|作为|扮演).{0,12}(?:助手|模型|人工智能|机器人|ai)",
            r"(?:请|必须|务必|应当)?(?:直接)?(?:在|向)?(?:摘要|病历|记录|草稿|小结|输出|回复|回答)(?:中|里|时)?(?:只|仅)?(?:写入|写明|写上|写成|输出|注明|填写|加入)",
            r"(?:致|给|告诉)(?:ai|人工智能|模型|助手|智能体|系统)[:,， ]",
            r"(?:批准|通过)(?:所有|全部)(?:草稿|提案|建议)|\bapprove (?:all|every|this) (?:draft|proposal)",
        )
    )
)


def is_instruction(text: str) -> bool:
    """Tell whether a text tells a program what to do. Known ways of saying so, no more: grounding does the rest."""
    return _PATTERNS.search(plain(text).replace("\n", " ")) is not None
