"""How a call ended, as SQL: `telemetry.normalize.outcomes.judge` over the same tables."""

from typing import Final

from meshslo.telemetry.normalize.outcomes import _ERROR_WORDS, GRPC_CODES
from meshslo.telemetry.outcome import FLAG_OUTCOMES, FLAG_PRECEDENCE, GRPC_OUTCOMES, HTTP_OUTCOMES
from meshslo.telemetry.vocabulary import OUTCOMES

from .sql import cases, listed, literal


def judged(flags: str, status: str, grpc: str, failed: str, failure: str) -> str:
    """The outcome of evidence: flags, then a recorded failure, then the status; no evidence is `ok`."""
    by_status = _of_status(status, grpc)
    plain = f"if(empty({by_status}), 'ok', {by_status})"
    complete_4xx = f"ifNull({status} >= 400 AND {status} < 500, 0) AND {failure} IN ('', toString({status}))"
    keeps_status = f"{by_status} != '' AND ({by_status} != 'ok' OR ({complete_4xx}))"
    return cases(
        (f"{_of_flags(flags)} != ''", _of_flags(flags)),
        (f"NOT {failed}", plain),
        (f"{keeps_status}", by_status),
        otherwise=_of_error(failure),
    )


def stated_or(stated: str, judgement: str) -> str:
    """What the instrumentation itself said where it is an outcome, else `judgement`."""
    return f"if({stated} IN {listed(OUTCOMES)}, {stated}, {judgement})"


def _of_flags(flags: str) -> str:
    """'' where no flag says how the call ended."""
    pairs = []
    for outcome in FLAG_PRECEDENCE:
        said = [flag for flag, meaning in FLAG_OUTCOMES.items() if meaning == outcome]
        words = ", ".join(literal(flag) for flag in said)
        pairs.append((f"hasAny(splitByChar(',', {flags}), [{words}])", literal(outcome)))
    return cases(*pairs, otherwise="''")


def _of_grpc(grpc: str) -> str:
    return cases(*((f"{grpc} = {code}", literal(outcome)) for code, outcome in GRPC_OUTCOMES.items()), otherwise="'error'")


def _of_http(status: str) -> str:
    known = ((f"{status} = {code}", literal(outcome)) for code, outcome in HTTP_OUTCOMES.items())
    return cases(*known, (f"{status} >= 500", "'error'"), otherwise="'ok'")


def _of_status(status: str, grpc: str) -> str:
    """'' where there is no status."""
    return cases(
        (f"ifNull({grpc} != 0, 0)", _of_grpc(grpc)),
        (f"ifNull({status}, 0) = 0", f"if({grpc} IS NULL, '', 'ok')"),
        otherwise=_of_http(status),
    )


_NAMES: Final = {name: GRPC_OUTCOMES.get(code, "error") for code, name in enumerate(GRPC_CODES)}


def _of_error(failure: str) -> str:
    """What the type of an error names; a word that we do not know is a plain error."""
    spelt = f"replaceAll(lower({failure}), '_', '')"
    number = f"toUInt64OrZero({failure})"
    return cases(
        (f"match({failure}, '^[0-9]+$')", f"if({number} = 0, 'error', {_of_http(number)})"),
        *((f"upper({failure}) = {literal(name)}", literal(outcome)) for name, outcome in _NAMES.items()),
        *((f"position({spelt}, {literal(word)}) > 0", literal(outcome)) for word, outcome in _ERROR_WORDS),
        otherwise="'error'",
    )
