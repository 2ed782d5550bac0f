"""docs/reference/clients.md: its head is written here, its rows are what came of the calls."""

import re
from collections import Counter

from pumice import ROOT

from .record import WORKS

PAGE = ROOT / "docs/reference/clients.md"

HEAD = """\
# Clients

Every call of the clients, made once against a running service: whether it works, and why the rest does not. `make clients-table` makes them
all, looks for the effect where it is cheap to see, and compares with this page (`UPDATE=1` writes it); `make test` makes those of openstacksdk and
gophercloud, and fails if a client has a call that is not here. The versions are those of `tests/clients/requirements.txt`, and of Debian's
`golang-github-gophercloud-gophercloud-dev`.

The service has two backends that keep volumes in files and export them by tgt, and the embedded identity. The caller is an
administrator. There is no compute, image or network service.

| client | calls | work | do not |
|---|---|---|---|
{summary}

What does not work, counted:

| reason | calls |
|---|---|
{reasons}

## Terraform

Terraform and its OpenStack provider cannot be installed from the package registries that the tests use, so it is not run. The provider is built on
gophercloud; these are the requests that its resources make (provider 3.4), and what makes the same ones here:

| resource of Terraform | makes | made here by |
|---|---|---|
| `blockstorage_volume_v3` | create (from snapshot, source or nothing), show, update, extend, retype, delete | `volumes.*`, `volumeactions.ExtendSize`; retype: `cinder retype` |
| `blockstorage_volume_attach_v3` | `os-reserve`, `os-initialize_connection`, `os-attach`, `os-terminate_connection`, `os-detach` | `volumeactions.*` |
| `blockstorage_volume_type_v3`, `…_type_access_v3` | types, extra specs, access of projects | `volumetypes.*`; extra specs and access: `cinder type-key`, `type-access-*` |
| `blockstorage_qos_v3`, `…_qos_association_v3` | QoS specs, keys, associations | `cinder qos-*` |
| `blockstorage_quotaset_v3` | quota sets of a project | `quotasets.*` |
| data sources: volumes, snapshots, types, zones, quotas | lists with filters | `*.List`, `openstack availability zone list` |
| `identity_project_v3`, `…_user_v3`, `…_role_v3`, `…_role_assignment_v3`, `…_application_credential_v3` | as their names say | `openstack project`, `user`, `role`, `application credential` |
| data sources of identity | lists of projects, users, roles, services, endpoints, groups | `openstack … list` |
| `identity_service_v3`, `…_endpoint_v3`, `…_group_v3`, `…_user_membership_v3`, `…_limit_v3`, `…_ec2_credential_v3` | not served by the embedded identity | – |
"""

TITLES = {
    "cinder": ("`cinder`", "Commands of python-cinderclient, with the newest microversion, as it sends by itself."),
    "openstack volume": (
        "`openstack`: block storage",
        "Commands of python-openstackclient's volume group, and those that several services share, without `--os-volume-api-version`.",
    ),
    "openstack identity": ("`openstack`: identity", "Commands of python-openstackclient's identity group, with the embedded identity."),
    "openstacksdk block storage": ("openstacksdk: `block_storage`", "Methods of `openstack.block_storage.v3._proxy.Proxy`."),
    "openstacksdk identity": ("openstacksdk: `identity`", "Methods of `openstack.identity.v3._proxy.Proxy`."),
    "gophercloud": (
        "gophercloud",
        "Functions of `openstack/blockstorage/v3`, of its `extensions` and of `apiversions`, with microversion 3.71.",
    ),
}


def works(outcome):
    return outcome == WORKS or outcome.startswith(WORKS + " ")


def render(tables):
    """The page of the outcomes of each client."""
    summary, reasons = [], Counter()
    for client, outcomes in tables.items():
        working = sum(map(works, outcomes.values()))
        summary.append(f"| {TITLES[client][0]} | {len(outcomes)} | {working} | {len(outcomes) - working} |")
        reasons.update(outcome for outcome in outcomes.values() if not works(outcome))
    counted = [f"| {reason} | {count} |" for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))]
    parts = [HEAD.format(summary="\n".join(summary), reasons="\n".join(counted))]
    for client, outcomes in tables.items():
        title, sentence = TITLES[client]
        rows = [f"| `{name}` | {outcome} |" for name, outcome in sorted(outcomes.items())]
        parts.append("\n".join([f"## {title}", "", sentence, "", "| call | outcome |", "|---|---|", *rows, ""]))
    return "\n".join(parts)


def read():
    """The outcomes that the page has, of each client."""
    text = PAGE.read_text() if PAGE.exists() else ""
    tables = {}
    for client, (title, _) in TITLES.items():
        section = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
        rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", section[1], re.M) if section else []
        tables[client] = dict(rows)
    return tables


def write(client, outcomes):
    PAGE.write_text(render({**read(), client: outcomes}))
