import pytest

from golden.page import PageError, markdown_table, read_section, write_section


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "results.md"
    path.write_text(
        "before\n<!-- one -->\nold\n\n1\n<!-- /one -->\nbetween\n<!-- one.more -->\n<!-- /one.more -->\nafter\n"
    )
    return path


def test_replaces_its_own_section_only(page):
    assert read_section(page, "one") == "old\n\n1" and read_section(page, "one.more") == ""
    write_section(page, "one.more", "second")
    write_section(page, "one", "first")
    assert page.read_text() == (
        "before\n<!-- one -->\nfirst\n<!-- /one -->\nbetween\n<!-- one.more -->\nsecond\n<!-- /one.more -->\nafter\n"
    )
    assert read_section(page, "one") == "first"


@pytest.mark.parametrize("text", [
    "no marks", "<!-- one -->", "<!-- /one --><!-- one -->", "<!-- one --><!-- /one --><!-- one --><!-- /one -->",
])  # fmt: skip
def test_refuses_a_page_whose_marks_are_not_there_once(tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(PageError, match="page.md has not once <!-- one -->"):
        write_section(page, "one", "new")
    assert page.read_text() == text


def test_table():
    assert markdown_table(["a", "b"], [["|x|", "1"]]) == "| a | b |\n| --- | --- |\n| \\|x\\| | 1 |"
