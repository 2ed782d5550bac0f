"""The commands of `openstack` for types, limits, services, and what is not served."""

from .reasons import BACKUPS, CLEANUP_BY_PUT, CONSISTENCY_GROUPS, GROUPS, MESSAGE_KEY, NETWORK, NO_CLUSTERS, NO_FAILOVER


def types(openstack, service):
    openstack("volume type create --description words --private --property a=b fast")
    assert openstack.json("volume type show fast")["properties"] == {"a": "b"}
    openstack("volume type set --name quick --property c=d --project admin fast")
    assert openstack.json("volume type show quick")["access_project_ids"] == [service.project()]
    openstack("volume type set --encryption-provider luks --encryption-cipher aes-xts-plain64 --encryption-key-size 256 "
              "--encryption-control-location front-end quick")
    assert "luks" in openstack("volume type list --encryption-type")
    openstack("volume type unset --property a --project admin --encryption-type quick")
    shown = openstack.json("volume type show --encryption-type quick")
    assert (shown["properties"], shown["access_project_ids"], shown["encryption"]) == ({"c": "d"}, [], {}), shown
    openstack("volume type set --public quick")
    openstack("volume type delete quick")
    assert "quick" not in openstack("volume type list")


def qos(openstack, service):
    del service
    openstack("volume qos create --consumer front-end --property read_iops_sec=7 slow")
    openstack("volume qos set --property write_iops_sec=8 slow")
    openstack("volume qos unset --property read_iops_sec slow")
    assert openstack.json("volume qos show slow")["properties"] == {"write_iops_sec": "8"}
    openstack("volume type create slow")
    openstack("volume qos associate slow slow")
    assert [row["Associations"] for row in openstack.json("volume qos list")] == [["slow"]]
    openstack("volume qos disassociate --volume-type slow slow")
    assert [row["Associations"] for row in openstack.json("volume qos list")] == [[]]
    openstack("volume qos delete slow")
    assert openstack.json("volume qos list") == []
    openstack("volume type delete slow")


def quotas(openstack, service):
    del service
    openstack("quota set --volumes 33 admin")
    limits = {row["Resource"]: row["Limit"] for row in openstack.json("quota show --volume admin")}
    assert limits["volumes"] == 33
    assert [row["Volumes"] for row in openstack.json("quota list --volume")] == [33]
    openstack("quota delete --volume admin")
    limits = {row["Resource"]: row["Limit"] for row in openstack.json("quota show --volume admin")}
    assert limits["volumes"] != 33
    assert "max_total_volumes" in openstack("limits show --absolute")


def services(openstack, service):
    assert "rock@spare" in openstack("volume service list")
    openstack("volume service set --disable --disable-reason broom rock@spare cinder-volume")
    assert "broom" in openstack("volume service list --long")
    openstack("volume service set --enable rock@spare cinder-volume")
    assert "broom" not in openstack("volume service list --long")
    openstack("volume host set --disable rock@spare")
    assert "frozen" in str(service.get("/os-services"))
    openstack("volume host set --enable rock@spare")
    openstack.refused(NO_FAILOVER, "volume host failover --volume-backend none rock@spare")
    openstack("block storage log level set --service cinder-volume --log-prefix pumice.drivers DEBUG")
    assert "DEBUG" in openstack("block storage log level list --log-prefix pumice.drivers")
    openstack("block storage log level set INFO")
    openstack.refused(CLEANUP_BY_PUT, "block storage cleanup --host rock@file --binary cinder-volume --cluster none")
    openstack("block storage cluster list --long")
    openstack.all_refused(NO_CLUSTERS, """
        block storage cluster show none@file
        block storage cluster set --enable none@file
    """)
    assert "volume" in openstack("block storage resource filter list")
    assert "status" in openstack("block storage resource filter show volume")
    assert "rock@spare#spare" in openstack("volume backend pool list --long")
    openstack("volume backend capability show rock@file")
    assert "nova" in openstack("availability zone list --volume")
    assert "os-hosts" in openstack("extension list --volume")
    openstack.refused(NETWORK, "extension show os-hosts")
    assert "block-storage" in openstack("versions show")


def messages(openstack, service):
    openstack("volume type create --property volume_backend_name=nowhere nowhere")
    openstack("volume create --size 1 --type nowhere lost")
    lost = service.until("lost", "error")["id"]
    (message,) = [row for row in openstack.json("volume message list") if row["Resource UUID"] == lost]
    assert "available weighted backend" in message["User Message"]
    openstack.without_effect(MESSAGE_KEY, f"volume message show {message['ID']}")
    openstack(f"volume message delete {message['ID']}")
    assert message["ID"] not in openstack("volume message list")
    service.delete("lost")
    openstack("volume type delete nowhere")


def what_is_not_served(openstack, service):
    service.make_volume("plain")
    openstack.all_refused(BACKUPS, """
        volume backup create plain
        volume backup list
        volume backup show none
        volume backup delete none
        volume backup restore none
        volume backup record export none
        volume backup record import service metadata
        volume backup set --name other none
        volume backup unset --property a none
    """)
    openstack.all_refused(GROUPS, """
        volume group create --volume-group-type none --volume-type none
        volume group list
        volume group show none
        volume group set --name other none
        volume group add volume none plain
        volume group remove volume none plain
        volume group delete none
        volume group failover none
        volume group snapshot create none
        volume group snapshot list
        volume group snapshot show none
        volume group snapshot delete none
        volume group type create none
        volume group type list
        volume group type show none
        volume group type set --name other none
        volume group type delete none
    """)
    openstack.all_refused(CONSISTENCY_GROUPS, """
        consistency group create --volume-type __DEFAULT__ none
        consistency group list
        consistency group show none
        consistency group set --name other none
        consistency group add volume none plain
        consistency group remove volume none plain
        consistency group delete none
        consistency group snapshot create --consistency-group none none
        consistency group snapshot list
        consistency group snapshot show none
        consistency group snapshot delete none
    """)
    service.delete("plain")


def clean_up(openstack, service):
    """Last: it deletes all that the project has."""
    service.make_volume("litter")
    openstack("project cleanup --auto-approve --auth-project --skip-resource block_storage.backup",
              "with `--skip-resource block_storage.backup`: backups are not served")
    service.gone("litter")


SCENARIOS = (types, qos, quotas, services, messages, what_is_not_served, clean_up)
