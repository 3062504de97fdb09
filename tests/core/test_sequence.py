from gateway.core.dtypes import DType
from gateway.core.sequence import IDENTITY, STEP, Control, SequenceBatching, hidden_inputs


def test_a_text_travels_only_where_one_may_be_asked_for() -> None:
    text = SequenceBatching(
        controls=(Control("start", "S", DType.INT32), Control("corrid", "C", DType.BYTES))
    )
    assert text.identity_dtype is DType.BYTES
    assert SequenceBatching().identity_dtype is None
    assert hidden_inputs(text, "onnxruntime") == (STEP, IDENTITY)
    assert hidden_inputs(SequenceBatching(), "onnxruntime") == (STEP,)
    assert hidden_inputs(SequenceBatching(), "python") == (STEP, IDENTITY)


def test_a_strategy_and_a_control_say_what_they_are() -> None:
    assert SequenceBatching().is_direct
    assert not SequenceBatching(max_candidates=1).is_direct
    assert Control("ready", "R", DType.FP32).tensor.shape == (1,)
