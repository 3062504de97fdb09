from starlette.testclient import TestClient

from gateway.admin.metrics import metrics_app


def test_the_page_and_the_probe() -> None:
    ready = [True]
    client = TestClient(metrics_app(lambda: b"x 1\n", lambda: ready[0]))
    page = client.get("/metrics")
    assert (page.status_code, page.content) == (200, b"x 1\n")
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert client.get("/healthz").status_code == 200
    ready[0] = False
    assert client.get("/healthz").status_code == 503
    assert client.get("/other").status_code == 404
