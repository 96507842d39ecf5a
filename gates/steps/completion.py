"""`gates completion bash|zsh|fish`: a script for the shell, written from the declared commands and inputs.

source <(gates completion bash)
"""

from __future__ import annotations

from gates.document import did_you_mean
from gates.errors import InvalidInput
from gates.inputs import declared
from gates.steps import COMMANDS

SHELLS = ("bash", "zsh", "fish")


def script(shell: str) -> str:
    """The completion script. Raises errors.InvalidInput for a shell that is not known."""
    if shell not in SHELLS:
        raise InvalidInput(f"gates completion: '{shell}' is no shell known here", hint=did_you_mean(shell, SHELLS))
    if shell == "fish":
        return _fish()
    head = "autoload -Uz bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    return head + _bash()


def _words() -> dict[str, list[str]]:
    """What may follow each beginning of a command line: the next word of a verb, or its flags."""
    words: dict[str, list[str]] = {"": ["completion", "--help", "--version"], "completion": list(SHELLS)}
    for verb, command in COMMANDS.items():
        parts = verb.split()
        for number, part in enumerate(parts):
            known = words.setdefault(" ".join(parts[:number]), [])
            if part not in known:
                known.append(part)
        words[verb] = [f"--{option.flag}" for option in declared(command.load().Inputs)] + ["--help"]
    return words


def _bash() -> str:
    cases = "\n".join(f'    "{begin}") words="{" ".join(known)}" ;;' for begin, known in _words().items() if begin)
    return f"""\
_gates() {{
  local words="{" ".join(_words()[""])}" begin="${{COMP_WORDS[1]}}" current="${{COMP_WORDS[COMP_CWORD]}}"
  [ "$COMP_CWORD" -gt 2 ] && case "${{COMP_WORDS[2]}}" in -*) ;; *) begin="$begin ${{COMP_WORDS[2]}}" ;; esac
  [ "$COMP_CWORD" -gt 1 ] && case "$begin" in
{cases}
    *) words="" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _gates gates
"""


def _fish() -> str:
    lines = ["complete -c gates -f"]
    for begin, known in _words().items():
        seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in begin.split())
        condition = seen or "__fish_use_subcommand"
        for word in known:
            what = f"-l {word[2:]} -r" if word.startswith("--") and begin else f"-a {word}"
            lines.append(f"complete -c gates -n '{condition}' {what}")
    return "\n".join(lines) + "\n"
