"""What is held of everything that is said to people."""

from __future__ import annotations

from hypothesis import strategies as st

LONGEST = 1500
"""Characters; a line that nobody could read is none. Inputs are kept shorter than this."""

_ODD = "\n\r\t\0\x07\x1b\x7f\x85\u2028\u2029\u200b\u200e\u202e\u2066\ufeff\ufffd\ud800\udcff|`*_[]<>&\\\"'{}$;#%: ,=-"
hostile = st.one_of(
    st.text(alphabet=st.one_of(st.sampled_from(_ODD), st.characters()), max_size=40),
    st.sampled_from(
        ["\u202egnp.exe", "a\nb", "\x1b[31mred", "a|b\n|---|", "<script>", "{{ x }}", "{0}", "%s", "$(id)", ""]
    ),
)
"""Any text, control characters, bidi marks and halves of surrogate pairs among it."""


def check_line(error: BaseException, about: object = "") -> None:
    """An error is one printable line that a page or terminal of UTF-8 takes, and names what it is about."""
    text = str(error)
    assert str(about) in text
    assert text.isprintable() and text.strip() and len(text) < LONGEST, repr(text)
    text.encode("utf-8")
