"""The commands of `openstack` that Keystone has answered so far."""

from .reasons import no_identity, of_configuration


def projects(openstack, service):
    del service
    made = openstack.json("project create --description words --tag x --property color=red blue")
    openstack("project set --name green --description others --tag y --property color=blue blue")
    shown = openstack.json("project show green")
    assert (shown["id"], shown["description"], shown["color"], sorted(shown["tags"])) == (made["id"], "others", "blue", ["x", "y"])
    assert "green" in openstack("project list --long")
    openstack("project delete green")
    assert "green" not in openstack("project list")


def users(openstack, service):
    del service
    openstack("project create home")
    openstack("user create --project home --password pw --email f@example.org fred")
    openstack("user set --name frank --email g@example.org --password pw2 fred")
    assert openstack.json("user show frank")["email"] == "g@example.org"
    assert "frank" in openstack("user list --long")
    openstack("role create auditor")
    openstack("role set --name checker auditor")
    assert openstack.json("role show checker")["name"] == "checker"
    assert "checker" in openstack("role list")
    openstack("role add --project home --user frank checker")
    (assigned,) = openstack.json("role assignment list --names --user frank")
    assert (assigned["Role"], assigned["User"], assigned["Project"]) == ("checker", "frank@Default", "home@Default")
    with openstack.as_user("frank", "pw2", "home"):
        openstack("user password set --original-password pw2 --password pw3")
    with openstack.as_user("frank", "pw3", "home"):
        openstack("token issue")
    openstack("role remove --project home --user frank checker")
    assert openstack.json("role assignment list --user frank") == []
    openstack("role delete checker")
    openstack("user delete frank")
    assert "frank" not in openstack("user list")
    openstack("project delete home")


def application_credentials(openstack, service):
    del service
    made = openstack.json("application credential create --role member --description words backup")
    assert made["Secret"]
    assert "backup" in openstack("application credential list")
    assert openstack.json("application credential show backup")["Description"] == "words"
    openstack("application credential delete backup")
    assert "backup" not in openstack("application credential list")


def catalog(openstack, service):
    token = openstack.json("token issue")["id"]
    openstack(f"token revoke {token}")
    assert service.token_is_refused(token)
    assert "block-storage" in openstack("catalog list")
    assert "public" in openstack("catalog show block-storage")
    assert "block-storage" in openstack("service list --long")
    assert openstack.json("service show block-storage")["enabled"]
    listed = openstack.json("endpoint list")
    assert openstack.json(f"endpoint show {listed[0]['ID']}")["url"] == listed[0]["URL"]
    assert "RegionOne" in openstack("region list")
    assert openstack.json("region show RegionOne")["region"] == "RegionOne"
    assert "Default" in openstack("domain list")
    assert openstack.json("domain show Default")["id"] == "default"
    openstack.all_refused(of_configuration("services"), """
        service create --name none none
        service set --name other block-storage
        service delete block-storage
    """)
    openstack.all_refused(of_configuration("endpoints"), f"""
        endpoint create block-storage public http://127.0.0.1/
        endpoint set --url http://127.0.0.1/ {listed[0]['ID']}
        endpoint delete {listed[0]['ID']}
    """)
    openstack.all_refused(of_configuration("regions"), """
        region create none
        region set --description words RegionOne
        region delete RegionOne
    """)
    openstack.all_refused(of_configuration("domains"), """
        domain create none
        domain set --description words Default
        domain delete Default
    """)


def empty_lists(openstack, service):
    """What there is none of: its list is empty."""
    del service
    for what in ("group", "credential", "ec2 credentials", "policy", "trust", "limit", "registered limit", "implied role", "access rule",
                 "identity provider", "mapping", "service provider", "federation domain", "federation project"):
        openstack(f"{what} list")


NOT_THERE = {
    "groups of users": """
        group create none
        group show none
        group set --name other none
        group add user none admin
        group remove user none admin
        group delete none
    """,
    "credentials but passwords and application credentials": """
        credential create admin data
        credential show none
        credential set --user admin --type cert --data data none
        ec2 credentials create
        ec2 credentials show none
        ec2 credentials delete none
    """,
    "policies: those of the services are files": """
        policy create FILE
        policy show none
        policy set --type other none
        policy delete none
    """,
    "trusts": """
        trust create --project admin --role member admin admin
        trust show none
        trust delete none
    """,
    "limits: those of the block storage are quotas": """
        limit create --project admin --service block-storage --resource-limit 1 volumes
        limit show none
        limit set --resource-limit 1 none
        registered limit create --service block-storage --default-limit 1 volumes
        registered limit show none
        registered limit set --default-limit 1 none
        registered limit delete none
    """,
    "implied roles but those of Keystone's bootstrap": """
        implied role create member --implied-role admin
        implied role delete member --implied-role reader
    """,
    "access rules": """
        access rule show none
        access rule delete none
    """,
    "endpoint filters": """
        endpoint add project none admin
        endpoint remove project none admin
        endpoint group create none FILE
        endpoint group list
        endpoint group show none
        endpoint group set --name other none
        endpoint group add project none admin
        endpoint group remove project none admin
        endpoint group delete none
    """,
    "federation": """
        identity provider create none
        identity provider show none
        identity provider set --description words none
        mapping create --rules FILE none
        mapping show none
        mapping set --rules FILE none
        mapping delete none
        federation protocol create --identity-provider none --mapping none none
        federation protocol list --identity-provider none
        federation protocol show --identity-provider none none
        federation protocol set --identity-provider none --mapping none none
        federation protocol delete --identity-provider none none
        service provider create --auth-url http://127.0.0.1/ --service-provider-url http://127.0.0.1/ none
        service provider show none
        service provider set --description words none
    """,
    "OAuth": """
        consumer create
        consumer list
        consumer show none
        consumer set --description words none
        consumer delete none
        request token create --consumer-key none --consumer-secret none --project admin
        request token authorize --request-key none --role member
        access token create --consumer-key none --consumer-secret none --request-key none --request-secret none --verifier none
    """,
}


# The client takes what is not found for deleted.
WITHOUT_EFFECT = {
    "groups of users": "group contains user none admin",
    "credentials but passwords and application credentials": "credential delete none",
    "limits: those of the block storage are quotas": "limit delete none",
}


def what_is_not_there(openstack, service):
    file = service.pumice.folder / "rules.json"
    file.write_text("[]")
    for what, lines in NOT_THERE.items():
        openstack.all_refused(no_identity(what), lines.replace("FILE", str(file)))
    for what, line in WITHOUT_EFFECT.items():
        openstack.without_effect(no_identity(what), line)
    for line in ("identity provider delete none", "service provider delete none"):
        openstack.without_effect(no_identity("federation"), line)


SCENARIOS = (projects, users, application_credentials, catalog, empty_lists, what_is_not_there)
