"""Tenants, keys and usage on the command line. No model is needed."""
import csv
import io
import json
import pathlib
import sqlite3
import stat

import pytest

from executable import explain, run


@pytest.fixture(name="store")
def store_fixture(tmp_path):
    """Runs a command on a store of the test's own."""
    path = tmp_path / "new" / "store.db"

    def on_store(*arguments, **options):
        return run(*arguments, "--store", str(path), **options)
    on_store.path = path
    return on_store


def succeeded(result):
    assert result.returncode == 0, explain(result)
    return result.stdout.decode()


def refused(result, code, *words):
    """One message on standard error and nothing on standard output."""
    message = result.stderr.decode()
    assert result.returncode == code, explain(result)
    assert result.stdout == b"", explain(result)
    assert message.startswith("foretoken: "), message
    for word in words:
        assert word in message, message


def tenants(store):
    return json.loads(succeeded(store("tenant", "list", "--json")))


def keys(store):
    return json.loads(succeeded(store("key", "list", "--json")))


def test_a_tenant_is_added_changed_and_removed(store):
    succeeded(store("tenant", "add", "acme", "--tokens-per-minute", "1000", "--models", "a,b"))
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    succeeded(store("tenant", "set", "acme", "--weight", "2", "--disable"))
    tenant, = tenants(store)
    assert tenant.pop("created").endswith("Z")
    assert tenant == {
        "name": "acme", "target": "", "draft_model": None, "speculation": None,
        "models": ["a", "b"], "adapters": [], "weight": 2.0, "requests_per_minute": 0,
        "tokens_per_minute": 1000, "tokens_per_day": 0, "concurrent_requests": 0, "kv_share": 1.0,
        "max_prompt_tokens": 0, "max_completion_tokens": 0, "enabled": False}
    table = succeeded(store("tenant", "list")).splitlines()
    assert table[0].split()[0] == "NAME"
    assert table[1].split()[:3] == ["acme", "disabled", "2"]
    succeeded(store("key", "add", "acme"))
    removed = succeeded(store("tenant", "rm", "acme"))
    assert "tenants 1, keys 1, usage records 0" in removed
    assert tenants(store) == [] and keys(store) == []
    refused(store("tenant", "rm", "acme"), 1, "'acme'")


def test_wrong_tenants_are_refused(store):
    refused(store("tenant", "add", "Acme"), 2, "'Acme'")
    refused(store("tenant", "add", "acme", "--weight", "0"), 2, "weight is 0")
    refused(store("tenant", "add", "acme", "--speculation", "on"), 2, "--speculation", "'on'")
    refused(store("tenant", "add"), 2, "NAME")
    refused(store("tenant", "add", "acme", "--enable", "--disable"), 2, "--enable")
    assert not store.path.exists(), "a refused command makes no file"
    succeeded(store("tenant", "add", "acme"))
    refused(store("tenant", "add", "acme"), 1, "'acme'")
    refused(store("tenant", "set", "other", "--weight", "2"), 1, "'other'")
    refused(store("tenant", "set", "acme", "--kv-share", "2"), 2, "kv_share is 2")
    assert len(tenants(store)) == 1


def test_a_key_is_printed_once_and_revoked(store):
    succeeded(store("tenant", "add", "acme"))
    made = store("key", "add", "acme", "--label", "night job", "--expires", "2999-12-31")
    secret = succeeded(made).strip()
    assert len(secret) == 53 and secret.startswith("ftk_")
    assert b"only time" in made.stderr and secret.encode() not in made.stderr
    key, = keys(store)
    assert key["id"] == secret[:12] and key["label"] == "night job"
    assert key["state"] == "valid" and key["expires"] == "2999-12-31T00:00:00Z"
    assert key["last_used"] is None and key["revoked"] is None
    for path in store.path.parent.iterdir():
        assert secret[12:].encode() not in path.read_bytes()
    succeeded(store("key", "revoke", key["id"]))
    assert keys(store)[0]["state"] == "revoked"
    whole = succeeded(store("key", "add", "acme")).strip()
    succeeded(store("key", "revoke", whole))
    assert [k["state"] for k in keys(store)] == ["revoked", "revoked"]
    assert secret[:12] in succeeded(store("key", "list", "acme"))


def test_wrong_keys_are_refused(store):
    succeeded(store("tenant", "add", "acme"))
    refused(store("key", "add", "other"), 1, "'other'")
    refused(store("key", "add", "acme", "--expires", "2001-01-01"), 2, "2001-01-01T00:00:00Z")
    refused(store("key", "add", "acme", "--expires", "soon"), 2, "'soon'")
    refused(store("key", "revoke", "ftk_nothing0"), 1, "ftk_nothing0")
    refused(store("key", "list", "other"), 1, "'other'")
    refused(store("key"), 2)


def test_usage_is_reported_by_what_is_asked_for(store):
    succeeded(store("tenant", "add", "acme"))
    day = 86_400_000
    with sqlite3.connect(store.path) as database:
        for number, (tenant, model, finished) in enumerate(
                [("acme", "a,b", day), ("acme", "c", 2 * day), ("other", "c", 2 * day)]):
            database.execute("INSERT INTO usage VALUES(?,?,'k',?,'',NULL,100,40,20,30,10,0,?,"
                             "'stop',200)", (f"r{number}", tenant, model, finished))
    database.close()
    rows = json.loads(succeeded(store("usage", "--json")))
    assert [(row["tenant"], row["requests"], row["prompt_tokens"]) for row in rows] == [
        ("acme", 2, 200), ("other", 1, 100)]
    text = succeeded(store("usage", "--by", "model,day", "--tenant", "acme", "--csv"))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["model"], row["day"], row["completion_tokens"]) for row in rows] == [
        ("a,b", "1970-01-02", "20"), ("c", "1970-01-03", "20")]
    rows = json.loads(succeeded(store("usage", "--from", "1970-01-02", "--to",
                                      "1970-01-02T00:00:01Z", "--json")))
    assert [(row["tenant"], row["requests"]) for row in rows] == [("acme", 1)]
    assert succeeded(store("usage")).split()[:2] == ["tenant", "requests"]
    refused(store("usage", "--by", "hour"), 2, "'hour'")
    refused(store("usage", "--from", "yesterday"), 2, "'yesterday'")
    refused(store("usage", "--csv", "--json"), 2, "--csv")
    assert "usage records 2\n" in succeeded(store("tenant", "rm", "acme", "--usage"))
    assert [row["tenant"] for row in json.loads(succeeded(store("usage", "--json")))] == ["other"]


def test_the_store_has_a_default_place_and_is_not_made_by_reading(tmp_path):
    environment = {"XDG_DATA_HOME": str(tmp_path), "PATH": ""}
    default = pathlib.Path(tmp_path) / "foretoken" / "foretoken.db"
    for command in (("tenant", "list"), ("key", "list"), ("usage",), ("tenant", "rm", "acme"),
                    ("key", "revoke", "x")):
        refused(run(*command, env=environment), 1, str(default))
    assert not default.exists()
    succeeded(run("tenant", "add", "acme", env=environment))
    assert default.exists()
    refused(run("tenant", "list", env={"PATH": ""}), 1, "--store")


def test_a_file_of_something_else_is_left_alone(tmp_path):
    path = tmp_path / "text.db"
    path.write_text("not a database " * 100)
    before = path.read_bytes()
    refused(run("tenant", "add", "acme", "--store", str(path)), 1, str(path))
    assert path.read_bytes() == before
