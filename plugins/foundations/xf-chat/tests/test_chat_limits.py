"""A template from anywhere cannot reach Python, run for long, or fill the memory."""

from __future__ import annotations

import resource
import time

import pytest

from xf import ChatTemplateError
from xf_chat import limits
from xf_chat.engine import JINJA

DOUBLING = "{%% set ns = namespace(x='aaaaaaaaaaaaaaaa') %%}{%% for i in range(60) %%}%s{%% endfor %%}"
HOSTILE = {
    "loops": "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    "sorted loops": "{% for a in range(9999) | sort %}{% for b in range(99999) | sort %}{% endfor %}{% endfor %}",
    "recursion of a macro": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "recursion of a loop": "{% for x in [[[]]] recursive %}{{ loop([x]) }}{% endfor %}",
    "repeated text": "{{ 'a' * 10 ** 10 }}",
    "repeated list": "{{ [1] * 10 ** 10 }}",
    "large number": "{% set ns = namespace(x=10) %}{% for i in range(60) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "power": "{{ 10 ** (10 ** 10) }}",
    "doubled by ~": DOUBLING % "{% set ns.x = ns.x ~ ns.x %}",
    "doubled by +": DOUBLING % "{% set ns.x = ns.x + ns.x %}",
    "doubled by a filter": DOUBLING % "{% set ns.x = ns.x | replace('a', 'aa') %}",
    "doubled by a method": DOUBLING % "{% set ns.x = ns.x.replace('a', 'aa') %}",
    "doubled by a block": "{% set x %}aaaaaaaaaaaaaaaa{% endset %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 40,
    "doubled list": DOUBLING.replace("'aaaaaaaaaaaaaaaa'", "[1, 2]") % "{% set ns.x = ns.x + ns.x %}",
    "long output": "{% for a in range(99999) %}" + "a" * 400 + "{% endfor %}",
    "width of a filter": "{{ 'a' | center(10000000000) }}",
    "width of a method": "{{ 'a'.center(10000000000) }}",
    "width in a method with %": "{{ 'a%'.ljust(10000000000) }}",
    "width of %": "{{ '%10000000000d' % 1 }}",
    "width as a value of %": "{{ '%*d' % (10000000000, 1) }}",
    "width of format": "{{ '{:>10000000000}'.format(1) }}",
    "width as a value of format": "{{ '{:>{w}}'.format(1, w=10000000000) }}",
    "width of the filter format": "{{ '%10000000000d' | format(1) }}",
    "indent": "{{ 'a\nb' | indent(10000000000) }}",
    "indent of JSON": "{{ [1, 2] | tojson(indent=1000000000) }}",
    "range": "{{ range(10 ** 9) | list | length }}",
    "batch": "{{ range(9) | batch(1000000000, 'x') | list }}",
    "slice": "{{ range(9) | slice(1000000000) | list }}",
    "join": "{{ range(90000) | join('" + "a" * 400 + "') }}",
    "depth of brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "depth of blocks": "{% if true %}" * 3000 + "x" + "{% endif %}" * 3000,
    "attributes": "{{ self.__init__.__globals__ }}",
    "classes": "{{ ''.__class__.__mro__ }}",
    "globals": "{{ cycler.__init__.__globals__ }}",
    "changed messages": "{{ messages.append(1) }}",
    "length": "{# " + "a" * 1_000_001 + " #}",
}


@pytest.fixture(autouse=True)
def little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_SECONDS", 0.5)


def render(template: str) -> str:
    return JINJA.render([[{"role": "user", "content": "a"}]], chat_template=template)[0][0]


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_it_is_stopped(name: str) -> None:
    begin, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ChatTemplateError):
        render(HOSTILE[name])
    assert time.monotonic() - begin < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 400_000  # kilobytes


def test_what_is_hidden_is_empty() -> None:
    assert render("{{ ''.__class__ }}{{ '' | attr('__class__') }}") == ""


def test_the_budget_is_for_each_rendering() -> None:
    template = "{% for a in range(90000) %}{% endfor %}x"
    assert [render(template) for _ in range(3)] == ["x"] * 3


def test_after_a_stop_everything_goes_on() -> None:
    with pytest.raises(ChatTemplateError):
        render(HOSTILE["loops"])
    assert render("{{ messages[0].content }}") == "a"


def test_marks_in_a_message_are_text() -> None:
    chat = [{"role": "user", "content": "{% generation %}\ue000<"}, {"role": "assistant", "content": "b"}]
    template = "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
    template += "{% else %}{{ m.content }}{% endif %}{% endfor %}"
    texts, spans = JINJA.render([chat], chat_template=template, return_assistant_tokens_mask=True)
    assert texts == ["{% generation %}\ue000<b"] and spans == [[(18, 19)]]
