"""The methods of openstacksdk's identity proxy."""

from .reasons import no_identity, of_configuration

NONE = "11111111222243338444555555555555"


def projects_and_users(sdk, service):
    del service
    call = sdk.call
    project = call.create_project(name="blue", description="words", tags=["x"])
    call.update_project(project, name="green")
    assert call.find_project("green").id == call.get_project(project.id).id
    assert "green" in [one.name for one in call.projects()]
    user = call.create_user(name="fred", password="pw", email="f@example.org", default_project_id=project.id)
    call.update_user(user, name="frank", email="g@example.org")
    assert call.find_user("frank").email == call.get_user(user.id).email == "g@example.org"
    assert "frank" in [one.name for one in call.users()]
    call.update_password(user, "pw", "pw2")
    role = call.create_role(name="auditor")
    call.update_role(role, name="checker")
    assert call.find_role("checker").id == call.get_role(role.id).id
    assert "checker" in [one.name for one in call.roles()]
    call.assign_project_role_to_user(project, user, role)
    assert call.validate_user_has_project_role(project, user, role)
    assert [one.role["id"] for one in call.role_assignments(user_id=user.id)] == [role.id]
    assert [one.id for one in call.role_assignments_filter(project=project, user=user)] == [role.id]
    assert [one.name for one in call.user_projects(user)] == ["green"]
    call.unassign_project_role_from_user(project, user, role)
    assert not call.validate_user_has_project_role(project, user, role)
    for what in ("role", "user", "project"):
        getattr(call, f"delete_{what}")({"role": role, "user": user, "project": project}[what])
    assert "green" not in [one.name for one in call.projects()]


def application_credentials(sdk, service):
    del service
    call, user = sdk.call, sdk.connection.current_user_id
    made = call.create_application_credential(user, "backup", roles=[{"name": "reader"}])
    assert made.secret
    assert [one.name for one in call.application_credentials(user)] == ["backup"]
    assert call.find_application_credential(user, "backup").id == call.get_application_credential(user, made).id == made.id
    call.delete_application_credential(user, made)
    assert call.application_credentials(user) == []


def tokens(sdk, service):
    call = sdk.call
    token, _ = sdk.pumice.token()
    assert call.check_token(token)
    assert call.validate_token(token).user["name"] == "admin"
    call.revoke_token(token)
    assert service.token_is_refused(token)


def catalog(sdk, service):
    del service
    call = sdk.call
    endpoint, *_ = call.endpoints()
    assert call.find_endpoint(endpoint.id).url == endpoint.url
    block_storage = call.find_service("pumice")
    assert call.get_service(block_storage.id).type in [one.type for one in call.services()]
    assert [one.id for one in call.regions()] == [call.get_region("RegionOne").id] == [call.find_region("RegionOne").id]
    assert [one.name for one in call.domains()] == [call.get_domain("default").name] == [call.find_domain("Default").name]
    sdk.all_refused(of_configuration("services"), (
        ("create_service", {"name": "none", "type": "none"}),
        ("update_service", block_storage, {"name": "other"}),
        ("delete_service", block_storage),
    ))
    sdk.all_refused(of_configuration("endpoints"), (
        ("create_endpoint", {"service_id": block_storage.id, "interface": "public", "url": "http://127.0.0.1/"}),
        ("update_endpoint", endpoint, {"url": "http://127.0.0.1/"}),
        ("delete_endpoint", endpoint),
    ))
    sdk.all_refused(of_configuration("regions"), (
        ("create_region", {"id": "none"}),
        ("update_region", "RegionOne", {"description": "words"}),
        ("delete_region", "RegionOne"),
    ))
    sdk.all_refused(of_configuration("domains"), (
        ("create_domain", {"name": "none"}),
        ("update_domain", "default", {"description": "words"}),
        ("delete_domain", "default"),
    ))


def empty_lists(sdk, service):
    """What there is none of: its list is empty."""
    del service
    call, user = sdk.call, sdk.connection.current_user_id
    for name in ("groups", "credentials", "policies", "trusts", "limits", "registered_limits", "identity_providers", "mappings",
                 "service_providers"):
        assert getattr(call, name)() == [], name
    assert call.access_rules(user) == []
    assert call.user_groups(user) == []


STRICT = {"ignore_missing": False}
USERS_GROUPS = no_identity("groups of users")
ROLES = no_identity("roles but those of users in projects")


def groups(sdk, service):
    user, project = sdk.connection.current_user_id, service.project()
    role = sdk.proxy.find_role("member").id
    sdk.all_refused(USERS_GROUPS, (
        ("create_group", {"name": "none"}),
        ("get_group", NONE),
        ("find_group", "none", STRICT),
        ("update_group", NONE, {"name": "other"}),
        ("delete_group", NONE, STRICT),
        ("group_users", NONE),
        ("add_user_to_group", user, NONE),
        ("remove_user_from_group", user, NONE),
    ))
    sdk.without_effect(USERS_GROUPS, "check_user_in_group", user, NONE)
    # The proxy does not say that it was refused.
    for name, scope in (("project", project), ("domain", "default")):
        for call in ("assign_{}_role_to_group", "unassign_{}_role_from_group", "validate_group_has_{}_role"):
            sdk.without_effect(USERS_GROUPS, call.format(name), scope, NONE, role)
    for call in ("assign_system_role_to_group", "unassign_system_role_from_group", "validate_group_has_system_role"):
        sdk.without_effect(USERS_GROUPS, call, NONE, role, "all")


def roles_elsewhere(sdk, service):
    del service
    user, role = sdk.connection.current_user_id, sdk.proxy.find_role("member").id
    # The proxy does not say that it was refused.
    for call in ("assign_{}_role_to_user", "unassign_{}_role_from_user", "validate_user_has_{}_role"):
        sdk.without_effect(ROLES, call.format("domain"), "default", user, role)
        sdk.without_effect(ROLES, call.format("system"), user, role, "all")


def crud(what, *, find=True, create=None, update=None, scope=()):
    """The calls of what is made, shown, changed and deleted."""
    calls = [(f"create_{what}", *scope, create or {"name": "none"}), (f"get_{what}", *scope, NONE),
             (f"update_{what}", *scope, NONE, update or {"name": "other"}), (f"delete_{what}", *scope, NONE, STRICT)]
    return [*calls, (f"find_{what}", *scope, "none", STRICT)] if find else calls


NOT_THERE = {
    "credentials but passwords and application credentials": crud("credential", create={"type": "cert", "blob": "b"}, update={"blob": "b"}),
    "policies: those of the services are files": crud("policy", create={"blob": "b", "type": "t"}, update={"blob": "b"}),
    "trusts": [one for one in crud("trust", create={"impersonation": False}) if one[0] != "update_trust"],
    "limits: those of the block storage are quotas": [
        *crud("limit", find=False, create={"resource_name": "volumes"}, update={"resource_limit": 1}),
        *crud("registered_limit", find=False, create={"resource_name": "volumes"}, update={"default_limit": 1}),
    ],
    "configuration of its domain": [
        ("create_domain_config", "default", {"identity": {"driver": "ldap"}}),
        ("get_domain_config", "default"),
        ("update_domain_config", "default", {"identity": {"driver": "ldap"}}),
        ("delete_domain_config", "default", STRICT),
    ],
    "access rules": [("get_access_rule", NONE, NONE), ("delete_access_rule", NONE, NONE, STRICT)],
    "endpoint filters": [
        *crud("endpoint_group"),
        ("endpoint_groups",),
        ("endpoint_group_endpoints", NONE),
        ("endpoint_group_projects", NONE),
        ("endpoint_projects", NONE),
        ("project_endpoints", NONE),
        ("project_endpoint_groups", NONE),
        ("associate_endpoint_with_project", NONE, NONE),
        ("disassociate_endpoint_from_project", NONE, NONE),
        ("associate_project_with_endpoint_group", NONE, NONE),
        ("disassociate_project_from_endpoint_group", NONE, NONE),
    ],
    "federation": [
        *crud("identity_provider", create={"id": "none"}, update={"description": "words"}),
        *crud("mapping", create={"id": "none", "rules": []}, update={"rules": []}),
        *crud("service_provider", create={"id": "none"}, update={"description": "words"}),
        *crud("federation_protocol", create={"id": "none"}, update={"mapping_id": "none"}, scope=("none",)),
        ("federation_protocols", "none"),
    ],
}


def what_is_not_there(sdk, service):
    del service
    for what, calls in NOT_THERE.items():
        sdk.all_refused(no_identity(what), calls)


def waits(sdk, service):
    """What the proxy has of every service's, and nothing of identity's has a use for."""
    del service
    project = sdk.proxy.create_project(name="gone")
    sdk.proxy.delete_project(project)
    sdk.call.wait_for_delete(project, interval=0.1)
    sdk.call.wait_for_status(sdk.proxy.find_domain("Default"), "Default", attribute="name", interval=0.1)


SCENARIOS = (projects_and_users, application_credentials, tokens, catalog, empty_lists, groups, roles_elsewhere, what_is_not_there, waits)
