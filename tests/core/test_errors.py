from gateway.core import errors


def test_one_class_a_reason() -> None:
    classes = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.GatewayError)
    ]
    reasons = [one.reason for one in classes]
    assert sorted(reason.value for reason in reasons) == sorted(reason.value for reason in errors.Reason)


def test_an_error_carries_fields() -> None:
    error = errors.Overloaded("full", retry_after_s=2.0)
    assert (error.text, error.retry_after_s, str(error)) == ("full", 2.0, "full")
