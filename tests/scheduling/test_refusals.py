from gateway.core.errors import Reason
from gateway.scheduling.refusals import died_while_answering, one_answer_only


def test_a_decoupled_model_is_refused_in_tritons_words() -> None:
    rest, grpc = one_answer_only("rest"), one_answer_only("grpc")
    assert rest.text == "HTTP end point doesn't support models with decoupled transaction policy"
    assert grpc.text == "ModelInfer RPC doesn't support models with decoupled transaction policy"
    assert "must be one for several answers" in one_answer_only("call").text
    assert rest.reason is grpc.reason is Reason.UNSUPPORTED


def test_a_death_amid_answers() -> None:
    assert died_while_answering().reason is Reason.INSTANCE_DIED
