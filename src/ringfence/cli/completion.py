# SPDX-License-Identifier: Apache-2.0
"""`ringfence completion`: print the completion script of a shell."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    r"""Print the completion script of a SHELL.

    \b
    bash: eval "$(ringfence completion bash)"            in ~/.bashrc
    zsh:  eval "$(ringfence completion zsh)"             in ~/.zshrc
    fish: ringfence completion fish | source             in ~/.config/fish/config.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(kind(context.find_root().command, {}, "ringfence", "_RINGFENCE_COMPLETE").source())
