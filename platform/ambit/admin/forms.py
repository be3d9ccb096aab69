"""Forms that look like unfold's and say what is wrong beside the field."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold import widgets

_CLASSES: tuple[tuple[type[forms.Widget], list[str]], ...] = (
    (forms.Textarea, widgets.TEXTAREA_CLASSES),
    (forms.CheckboxSelectMultiple, []),
    (forms.RadioSelect, []),
    (forms.CheckboxInput, widgets.CHECKBOX_CLASSES),
    (forms.Select, widgets.SELECT_CLASSES),
    (forms.FileInput, ["a-file"]),
    (forms.Widget, widgets.INPUT_CLASSES),
)


class PlainForm(forms.Form):
    """A form in unfold's dress."""

    required_css_class = "required"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Dress every field."""
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            dress(field)

    def refuse(self, field: str | None, sentence: str) -> None:
        """Add a sentence that says why the form was not accepted."""
        self.add_error(field, ValidationError(sentence))


def dress(field: forms.Field) -> None:
    """Give a field's widget unfold's classes, and none that stop the keyboard."""
    for kind, classes in _CLASSES:
        if isinstance(field.widget, kind):
            if classes:
                field.widget.attrs.setdefault("class", " ".join(classes))
            return


def picker(
    *, label: str, help_text: str = "", list_id: str = "people", required: bool = True
) -> forms.CharField:
    """Return a text field that suggests people or principals while one types."""
    attrs = {"list": list_id, "autocomplete": "off", "spellcheck": "false"}
    return forms.CharField(
        label=label,
        help_text=help_text,
        required=required,
        max_length=320,
        widget=forms.TextInput(attrs=attrs),
    )
