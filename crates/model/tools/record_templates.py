"""Records how transformers renders chat templates of every dialect feature we know of, as fixtures for `tests/it/templates.rs`.

    pip install transformers jinja2
    python3 crates/model/tools/record_templates.py crates/model/tests/data/templates.json
"""

import json
import sys

from transformers.utils.chat_template_utils import render_jinja_template

TEMPLATES = {
    "plain": "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] | trim }}{{ eos_token }}\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}",
    "blocks": """{% for m in messages %}
    {% if loop.first and m.role != 'system' %}
        {{ 'S: default' }}
    {% endif %}
    {%- if m.role == 'user' -%}
    U{{ loop.index0 }}: {{ m.content }}
    {%- elif m.role == 'assistant' %}
    A: {{ m.content }}{{ '.' if loop.last else ';' }}
    {%- else -%}
    {{ m.role | upper }}: {{ m.content }}
    {%- endif %}
{% endfor %}
{% if add_generation_prompt %}A:{% endif %}
""",
    "alternate": """{%- if messages[0]['role'] == 'system' %}{% set head = messages[0]['content'] %}{% set rest = messages[1:] %}{% else %}{% set head = '' %}{% set rest = messages %}{% endif -%}
{% for m in rest %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate user/assistant') }}{% endif %}{% if loop.index0 == 0 and head %}[{{ head }}] {% endif %}{{ m['role'] }}={{ m['content'].strip() }}|{% endfor %}""",
    "namespace": """{% set ns = namespace(last=-1, seen='') %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% set ns.seen = ns.seen ~ m.role[0] %}{% endfor %}{{ ns.seen }} {{ ns.last }} {{ messages[-1].content[::-1][:5] }} {{ messages | length }}""",
    "tools": """{% if tools %}Tools:
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}{{ tools | tojson(indent=2) }}
{% endif %}{% for m in messages %}{% if m.tool_calls is defined and m.tool_calls %}{% for call in m.tool_calls %}{% set f = call.function %}call {{ f.name }}({% for k, v in f.arguments.items() %}{{ k }}={{ v | tojson }}{% if not loop.last %}, {% endif %}{% endfor %})
{% endfor %}{% elif 'content' in m and m.content is not none %}{{ m.role }}: {{ m.content }}
{% endif %}{% endfor %}{{ tools | length if tools else 0 }}{{ nothing | length }}""",
    "strings": """{% macro show(text, kind='x') %}<{{ kind }}:{{ text }}>{% endmacro %}{% for m in messages %}{% set c = m.content %}{{ show(c.split(' ')[-1]) }}{{ show(c.lstrip('W').rstrip('?'), kind=m.role) }}{{ c.startswith('W') }}{{ c.replace('a', 'A') }}{{ c.upper() }}{{ 'the' in c }}{% if '</think>' in c %}{{ c.split('</think>')[-1].lstrip('\\n') }}{% endif %}{% endfor %}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ messages | map(attribute='role') | join(',') }}{{ (missing | default('none')) ~ (1 + 2) }}{{ custom if custom is defined else 'no custom' }}""",
    "loops": """{% for m in messages if m.role != 'system' %}{{ loop.index }}/{{ loop.length }}{% if loop.index > 2 %}{% break %}{% endif %}{{ m.content | length }} {% else %}nobody{% endfor %}{% for i in range(3) %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}{{ [1, 2, 3][1:] }}{{ {'a': true, 'b': none} | tojson }}{{ 7 // 2 }} {{ 7 % 4 }} {{ 2 ** 3 }} {{ 1 == 1.0 }}""",
}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string", "description": "a <city> & 'more'"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Tells the weather é", "parameters": PARAMETERS}}]
TOOLS = json.loads(json.dumps(TOOLS, sort_keys=True))  # sorted: whether objects keep their order depends on how the crate is built
CONVERSATIONS = {
    "alternating": ([("user", " What is the capital? "), ("assistant", "Paris"), ("user", "Why?")], None, {}),
    "system": ([("system", "Be brief"), ("user", "What\nnow?")], None, {"custom": "mine"}),
    "twice": ([("user", "a"), ("user", "b c the")], None, {}),
    "thinking": ([("user", "q"), ("assistant", "<think>x</think>\n\nanswer"), ("user", "Who are the best?")], None, {}),
    "tools": ([("user", "Weather in Rome?")], TOOLS, {}),
}


def main(out):
    cases = []
    for template_name, template in TEMPLATES.items():
        for name, (turns, tools, arguments) in CONVERSATIONS.items():
            messages = [dict(role=role, content=content) for role, content in turns]
            if tools and template_name == "tools":
                call = {"function": {"arguments": {"city": "Rome", "days": 2, "exact": True}, "name": "weather"}}
                messages += [dict(role="assistant", content=None, tool_calls=[call]), dict(role="tool", content="sunny")]
            try:
                rendered = render_jinja_template([messages], tools=tools, chat_template=template, add_generation_prompt=True,
                                                 bos_token="<s>", eos_token="</s>", **arguments)[0][0]
            except Exception as error:
                rendered, message = None, str(error)
                print(template_name, name, "raises", message)
            cases.append(dict(name=f"{template_name}/{name}", template=template, messages=messages, tools=tools,
                              arguments=arguments, rendered=rendered))
    with open(out, "w") as file:
        json.dump(cases, file, indent=1, ensure_ascii=False)


main(sys.argv[1])
