"""Help texts as they are everywhere on Unix: ``SOURCE [SINK...]``, without the types that Python has for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typer.core import TyperArgument, TyperCommand, TyperOption

if TYPE_CHECKING:
    from typer._click import Context, HelpFormatter

__all__ = ["Command"]

_TYPE_BEGINS: Final = " <"


class Command(TyperCommand):
    """A command that typer reads and runs, and that tells of its arguments by their names alone."""

    def collect_usage_pieces(self, ctx: Context) -> list[str]:
        """The usage line's words: an argument that may be left out stands in brackets, others stand bare."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the lists of arguments and options."""
        for heading, kind in (("Arguments", TyperArgument), ("Options", TyperOption)):
            records = [
                (_name(param, record[0]), record[1])
                for param in self.get_params(ctx)
                if isinstance(param, kind) and (record := param.get_help_record(ctx)) is not None
            ]
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def _name(param: object, text: str) -> str:
    if not isinstance(param, TyperArgument):
        return text
    name = text.partition(_TYPE_BEGINS)[0]
    return name if param.nargs == 1 else f"{name}..."
