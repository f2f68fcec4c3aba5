from dockerv6.cli.state import SystemBlockingClock


def test_the_system_time_goes_forward() -> None:
    time = SystemBlockingClock()
    before, began = time.now(), time.monotonic()
    time.sleep(0)
    assert time.now() > 1_700_000_000
    assert before > 1_700_000_000
    assert time.monotonic() >= began
