"""docs/reference/clients.md is true: each call of the clients has the outcome that it says.

`make test` makes the calls that take seconds. `make clients-table` sets CLIENTS_TABLE, and makes them all; UPDATE=1 writes the page.
"""

import os

import pytest

from client_calls import page, table

QUICK = ("openstacksdk block storage", "openstacksdk identity", "gophercloud")
CLIENTS = tuple(table.PLAYS) if "CLIENTS_TABLE" in os.environ else QUICK


@pytest.mark.parametrize("client", CLIENTS)
def test_each_call_has_the_outcome_of_the_page(client, tmp_path):
    calls = table.PLAYS[client](tmp_path)
    assert not calls.faults, "\n".join(calls.faults)
    if os.environ.get("UPDATE") == "1":
        page.write(client, calls.outcomes)
    assert calls.outcomes == page.read()[client], "UPDATE=1 make clients-table writes the page"


@pytest.mark.parametrize("client", table.PLAYS)
def test_each_call_of_the_installed_client_is_on_the_page(client):
    assert set(page.read()[client]) == set(table.NAMES[client]())


def test_the_page_is_written_by_the_program():
    assert page.PAGE.read_text() == page.render(page.read())
