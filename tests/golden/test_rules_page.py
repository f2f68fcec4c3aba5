from scripts.rules_page import PAGE, page


def test_the_page_of_rules_is_generated_from_the_code() -> None:
    assert PAGE.read_text() == page(), f"{PAGE} is stale: run python -m scripts.rules_page"
