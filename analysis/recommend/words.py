"""Numbers as a person says them: in the reasons of recommendations and the comments of emitted policies."""


def seconds(value_s: float) -> str:
    """A duration in the unit that reads best.

    >>> seconds(0.0043), seconds(8.134), seconds(45.0), seconds(1500.0)
    ('4.3 ms', '8.13 s', '45 s', '1500 s')
    """
    scaled, unit = (value_s * 1000, "ms") if 0 < value_s < 0.9995 else (value_s, "s")
    return f"{_short(scaled, 3)} {unit}"


def share(ratio: float) -> str:
    """A share of calls in per cent; one near all says how much is left, and only all of them is 100 %.

    >>> share(0.001), share(0.0163), share(0.25), share(0.00004), share(0.999), share(0.99996), share(1.0)
    ('0.1 %', '1.6 %', '25 %', '0.004 %', '99.9 %', '99.996 %', '100 %')
    """
    left = _short((1.0 - ratio) * 100, 2)
    decimals = len(left.partition(".")[2])
    return f"{ratio * 100:.{decimals}f} %" if 0.99 < ratio < 1.0 else f"{_short(ratio * 100, 2)} %"


def count(number: float) -> str:
    """A whole number with its thousands apart.

    >>> count(12345)
    '12,345'
    """
    return f"{round(number):,}"


def figure(value: float) -> str:
    """A number that is no whole one, to two significant digits.

    >>> figure(0.0312), figure(12.5), figure(48210.0)
    ('0.031', '12', '48,210')
    """
    return count(value) if value >= 1000 else _short(value, 2)


def amount(money: float) -> str:
    """Money, to three significant digits.

    >>> amount(0.00041234), amount(12.5), amount(48210.0)
    ('0.000412', '12.5', '48,210')
    """
    return count(money) if money >= 1000 else _short(money, 3)


def _short(value: float, digits: int) -> str:
    """So many significant digits, all those before the point, no zeros at the end."""
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:.0f}"
    text = f"{value:.{digits}g}"
    return f"{value:.{digits + 6}f}".rstrip("0").rstrip(".") if "e" in text else text
