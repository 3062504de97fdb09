from gateway.admin.metrics import metrics_app
from tests.fakes.asgi import get


def test_the_page_and_the_probe() -> None:
    ready = [True]
    app = metrics_app(lambda: b"x 1\n", lambda: ready[0])
    page = get(app, "/metrics")
    assert (page.status, page.body) == (200, b"x 1\n")
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert get(app, "/healthz").status == 200
    ready[0] = False
    assert get(app, "/healthz").status == 503
    assert get(app, "/other").status == 404
