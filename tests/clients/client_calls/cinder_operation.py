"""The commands of `cinder` for types, limits, services, and what is not served."""

from .reasons import BACKUPS, CONSISTENCY_GROUPS, GROUPS, IMAGES, NO_CLUSTERS, NO_REPLICATION


def types(cinder, service):
    cinder("type-create --description words fast")
    cinder("type-key fast set a=b")
    assert "'a': 'b'" in cinder("extra-specs-list")
    made = cinder.properties("type-show fast")
    cinder(f"type-update {made['id']} --name quick --is-public false")
    assert "quick" in cinder("type-list")
    cinder(f"type-access-add --volume-type quick --project-id {service.project()}")
    assert service.project() in cinder("type-access-list --volume-type quick")
    cinder(f"type-access-remove --volume-type quick --project-id {service.project()}")
    assert service.project() not in cinder("type-access-list --volume-type quick")
    cinder("encryption-type-create --cipher aes-xts-plain64 --key-size 256 --control-location front-end quick luks")
    assert "aes-xts-plain64" in cinder("encryption-type-list")
    cinder("encryption-type-update --key-size 512 quick")
    assert "512" in cinder("encryption-type-show quick")
    cinder("encryption-type-delete quick")
    assert "luks" not in cinder("encryption-type-list")
    cinder("type-delete quick")
    assert "quick" not in cinder("type-list")


def default_types(cinder, service):
    assert "__DEFAULT__" in cinder("type-default")
    cinder("type-create usual")
    cinder(f"default-type-set usual {service.project()}")
    assert service.project() in cinder("default-type-list")
    cinder(f"default-type-unset {service.project()}")
    assert service.project() not in cinder("default-type-list")
    cinder("type-delete usual")


def qos(cinder, service):
    del service
    made = cinder.properties("qos-create slow consumer=front-end read_iops_sec=7")["id"]
    cinder(f"qos-key {made} set write_iops_sec=8")
    shown = cinder(f"qos-show {made}")
    assert "write_iops_sec" in shown, shown
    cinder("type-create slow")
    kind = cinder.properties("type-show slow")["id"]
    cinder(f"qos-associate {made} {kind}")
    assert "slow" in cinder(f"qos-get-association {made}")
    cinder(f"qos-disassociate {made} {kind}")
    assert "slow" not in cinder(f"qos-get-association {made}")
    cinder(f"qos-associate {made} {kind}")
    cinder(f"qos-disassociate-all {made}")
    assert "slow" not in cinder(f"qos-get-association {made}")
    assert "slow" in cinder("qos-list")
    cinder(f"qos-delete {made}")
    assert "slow" not in cinder("qos-list")
    cinder("type-delete slow")


def quotas(cinder, service):
    project = service.project()
    cinder(f"quota-update --volumes 33 {project}")
    assert cinder.properties(f"quota-show {project}")["volumes"] == "33"
    cinder(f"quota-delete {project}")
    assert cinder.properties(f"quota-show {project}")["volumes"] == cinder.properties(f"quota-defaults {project}")["volumes"] != "33"
    assert "volumes" in cinder(f"quota-usage {project}")
    cinder("quota-class-update --gigabytes 999 default")
    assert cinder.properties("quota-class-show default")["gigabytes"] == "999"
    assert "totalVolumesUsed" in cinder("absolute-limits")
    cinder("rate-limits")


def services(cinder, service):
    assert "rock@spare" in cinder("service-list")
    cinder("service-disable --reason broom rock@spare cinder-volume")
    assert "broom" in cinder("service-list")
    cinder("service-enable rock@spare cinder-volume")
    assert "broom" not in cinder("service-list")
    cinder("freeze-host rock@spare")
    assert "frozen" in str(service.get("/os-services"))
    cinder("thaw-host rock@spare")
    cinder.refused(NO_REPLICATION, "failover-host rock@spare")
    cinder("service-set-log --binary cinder-volume --prefix pumice.drivers debug")
    assert "DEBUG" in cinder("service-get-log --prefix pumice.drivers")
    cinder("work-cleanup")
    assert "rock@spare#spare" in cinder("get-pools --detail")
    assert "Pumice" in cinder("get-capabilities rock@file") or "vendor" in cinder("get-capabilities rock@file")
    assert "nova" in cinder("availability-zone-list")
    assert "3.71" in cinder("api-version")
    assert "v3.0" in cinder("version-list")
    assert "volume" in cinder("list-filters")


def clusters(cinder, service):
    del service
    cinder("cluster-list --detailed")
    cinder.all_refused(NO_CLUSTERS, """
        cluster-show cinder-volume none@file
        cluster-enable cinder-volume none@file
        cluster-disable cinder-volume none@file
    """)


def messages(cinder, service):
    cinder("type-create nowhere")
    cinder("type-key nowhere set volume_backend_name=nowhere")
    cinder("create --name lost --volume-type nowhere 1")
    service.until("lost", "error")
    (message,) = cinder.table(f"message-list --resource_uuid {service.volume('lost')['id']}")
    assert "available weighted backend" in cinder(f"message-show {message['ID']}")
    cinder(f"message-delete {message['ID']}")
    assert message["ID"] not in cinder("message-list")
    service.delete("lost")
    cinder("type-delete nowhere")


def what_is_not_served(cinder, service):
    service.make_volume("plain")
    cinder.all_refused(BACKUPS, """
        backup-create plain
        backup-list
        backup-show none
        backup-delete none
        backup-restore none
        backup-export none
        backup-import service url
        backup-reset-state --state error none
        backup-update none --name other
    """)
    cinder.all_refused(GROUPS, """
        group-create none none
        group-create-from-src --group-snapshot none
        group-list
        group-show none
        group-update none --name other
        group-delete none
        group-enable-replication none
        group-disable-replication none
        group-failover-replication none
        group-list-replication-targets none
        group-snapshot-create none
        group-snapshot-list
        group-snapshot-show none
        group-snapshot-delete none
        group-type-create none
        group-type-list
        group-type-default
        group-type-show none
        group-type-update none --name other
        group-type-key none set a=b
        group-type-delete none
        group-specs-list
    """)
    cinder.all_refused(CONSISTENCY_GROUPS, """
        consisgroup-create none
        consisgroup-create-from-src --source-cg none
        consisgroup-list
        consisgroup-show none
        consisgroup-update none --name other
        consisgroup-delete none
        cgsnapshot-create none
        cgsnapshot-list
        cgsnapshot-show none
        cgsnapshot-delete none
    """)
    cinder.all_refused(IMAGES, """
        upload-to-image plain picture
        reimage plain 11111111-2222-4333-8444-555555555555
    """)
    service.delete("plain")


SCENARIOS = (types, default_types, qos, quotas, services, clusters, messages, what_is_not_served)
