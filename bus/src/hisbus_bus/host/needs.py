"""What no agent can know of itself: a rule whose need is hidden behind a code that nobody has answered is not judged.

What would then be missing may be there under that code. So nothing of the rule opens and nothing closes, and its reason
says what to do.
"""

from collections.abc import Iterable, Sequence

from hisbus.frames import AgentInfo
from hisbus_schemas import Assessment, ChartUnknown, Text, Unevaluated

WHAT = {
    "document": Text(zh="文书类型", en="type of document"),
    "class": Text(zh="患者类别", en="class of patient"),
    "section": Text(zh="文书章节", en="section of a document"),
    "field": Text(zh="首页项目", en="field of the front page"),
    "vital": Text(zh="生命体征项目", en="vital sign"),
    "sex": Text(zh="性别", en="sex"),
    "disposition": Text(zh="离院方式", en="discharge disposition"),
    "order": Text(zh="医嘱", en="order"),
    "result": Text(zh="检查检验结果", en="result"),
    "charge": Text(zh="费用", en="charge"),
    "diagnosis": Text(zh="诊断", en="diagnosis"),
    "procedure": Text(zh="手术操作", en="procedure"),
    "allergy": Text(zh="过敏记录", en="allergy"),
    "administration": Text(zh="给药记录", en="administration"),
}
"""What each kind of item is."""
OTHER = Text(zh="代码", en="code")
_SHOWN = 60
"""Characters of a code as it was sent that a text repeats."""


def judged_by_what_is_known(answer: Assessment, info: AgentInfo, unknown: Sequence[ChartUnknown]) -> Assessment:
    """Take the rules out of an answer whose needs are hidden, with their proposals, and say of each why.

    Args:
        answer: what the agent said.
        info: whose ``needs`` count.
        unknown: of the chart that it was shown.
    """
    items = {one.item for one in unknown}
    if not items:
        return answer
    rules = answer.evaluated | {proposal.rule for proposal in answer.proposals}
    hidden = {rule: by for rule in sorted(rules) if (by := _hidden(info, rule, items))}
    if not hidden:
        return answer
    texts = {item: _text(item, (one for one in unknown if one.item == item)) for item in sorted(items)}
    said = [
        Unevaluated(rule=rule, reason="unknown_code", item=item, text=texts[item])
        for rule, by in hidden.items()
        for item in sorted(by)
    ]
    return answer.model_copy(
        update={
            "evaluated": frozenset(answer.evaluated - hidden.keys()),
            "proposals": [proposal for proposal in answer.proposals if proposal.rule not in hidden],
            "unevaluated": [*answer.unevaluated, *said],
        }
    )


def _hidden(info: AgentInfo, rule: str, items: set[str]) -> frozenset[str]:
    return frozenset().union(*(need.hidden_by(items) for need in info.needs_of(rule)))


def _text(item: str, unknown: Iterable[ChartUnknown]) -> Text:
    """Name the codes as they were sent, and who has to do what."""
    what = WHAT.get(item.partition(":")[0], OTHER)
    sent = sorted({f"{one.code.code} {one.code.text}".strip()[:_SHOWN] for one in unknown})
    return Text(
        zh=f"{what.zh}代码“{'”“'.join(sent)}”尚未识别。请信息科在连接器的代码表中写明其含义，之后即行判断。",
        en=f"The {what.en} “{'”, “'.join(sent)}” is not known. Let the integration engineer say what it means in the"
        " connector's table of codes; then it is judged.",
    )
