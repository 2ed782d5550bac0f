"""Projects, users, roles and application credentials, as administrators and programs manage them with their own clients."""

import json

import openstack
import pytest
from openstack import exceptions
from openstack.config import OpenStackConfig
from openstack.connection import Connection

import shells


@pytest.fixture(scope="module")
def admin(shared):
    clouds = OpenStackConfig(config_files=[str(shared.clouds_yaml)], load_envvars=False)
    return Connection(config=clouds.get_one("pumice"))


def connect(shared, **auth):
    auth = {"auth_url": shared.cloud()["auth"]["auth_url"], **auth}
    return openstack.connect(load_envvars=False, load_yaml_config=False, region_name="RegionOne", auth=auth)


def test_the_sdk_makes_a_project_with_a_member_who_makes_a_volume(shared, admin):
    identity = admin.identity
    project = identity.create_project(name="green", description="d", tags=["x"])
    user = identity.create_user(name="eve", password="pw", email="eve@example.org", default_project_id=project.id)
    member = identity.find_role("member", ignore_missing=False)
    identity.assign_project_role_to_user(project, user, member)
    assert identity.validate_user_has_project_role(project, user, member)
    assert [role.id for role in identity.role_assignments_filter(project=project, user=user)] == [member.id]
    assigned = list(identity.role_assignments(user_id=user.id, include_names=True))
    assert [one.scope["project"]["name"] for one in assigned] == ["green"]
    assert identity.find_user("eve", ignore_missing=False).id == user.id
    assert [one.name for one in identity.user_projects(user)] == ["green"]
    assert [domain.name for domain in identity.domains()] == ["Default"]
    assert len(list(identity.endpoints())) == 9

    eve = connect(shared, username="eve", password="pw", project_name="green",
                  user_domain_name="Default", project_domain_id="default")
    volume = eve.block_storage.create_volume(name="hers", size=1)
    eve.block_storage.wait_for_status(volume, "available")
    with pytest.raises(exceptions.ForbiddenException):
        list(eve.identity.users())
    with pytest.raises(exceptions.ConflictException):
        identity.create_project(name="green")

    credential = eve.identity.create_application_credential(user, "backup", roles=[{"name": "reader"}])
    program = openstack.connect(
        load_envvars=False, load_yaml_config=False, region_name="RegionOne", auth_type="v3applicationcredential",
        auth={"auth_url": shared.cloud()["auth"]["auth_url"], "application_credential_id": credential.id,
              "application_credential_secret": credential.secret})
    assert [one.name for one in program.block_storage.volumes()] == ["hers"]
    with pytest.raises(exceptions.ForbiddenException):
        program.block_storage.delete_volume(volume)
    eve.identity.delete_application_credential(user, credential)

    eve.block_storage.delete_volume(volume)
    eve.block_storage.wait_for_delete(volume)
    identity.update_user(user, is_enabled=False)
    again = connect(shared, username="eve", password="pw", project_id=project.id, user_domain_id="default")
    with pytest.raises(exceptions.SDKException, match="401"):
        again.authorize()
    identity.unassign_project_role_from_user(project, user, member)
    identity.delete_user(user)
    identity.delete_project(project)
    assert not list(identity.projects(name="green"))


# One process reads them all.
COMMANDS = """
project create --description d --tag x --property color=red blue
project set --description e --tag y blue
project show blue -f json
user create --password pw --email f@example.org fred
user set --email g@example.org fred
role create auditor
role set --name checker auditor
role add --project blue --user fred checker
role assignment list --names --user fred -f json
role remove --project blue --user fred checker
application credential create --role member backup -f json
application credential list
application credential delete backup
role assignment list --effective
implied role list
group list
limit list
quota set --volumes 3 blue
user delete fred
role delete checker
project delete blue
"""


def test_openstackclient_understands_each_answer(shared):
    done = shells.run(["openstack"], shared.client_env(), input=COMMANDS)
    assert not done.stderr.strip() or "Exception" not in done.stderr, done.stderr
    assert "HTTP" not in done.stdout + done.stderr, done.stdout + done.stderr
    assert '"color": "red"' in done.stdout and '"name": "blue"' in done.stdout, done.stdout
    decoder, values = json.JSONDecoder(), []
    for line in range(len(done.stdout)):
        if done.stdout[line] in "{[" and (line == 0 or done.stdout[line - 1] == "\n"):
            values.append(decoder.raw_decode(done.stdout[line:])[0])
    assert {"Role": "checker", "User": "fred@Default", "Project": "blue@Default"}.items() <= values[1][0].items()


def test_a_quota_is_set_for_a_project_that_is_there_only(shared):
    answer = shared.admin("PUT", "/os-quota-sets/00000000000000000000000000000000", json={"quota_set": {"volumes": 1}})
    assert answer.status_code == 404, answer.text
