#!/bin/bash
# LIO for real: exports of the kernel's own target by examples/target_verbs.rs, and the kernel's own initiator to log in.
# Runs as root inside the guest (README.md), where `pumice` is that example:
#
#   cargo build --example target_verbs
#   tests/guest/build target/guest && PUMICE_BIN=target/debug/examples/target_verbs tests/guest/run target/guest lio.sh
#
# The guest has neither configfs mounted nor LIO loaded: that is the target's to do.
set -u
verbs=/tmp/target_verbs
cp /mnt/host/pumice "$verbs"
us=iqn.1993-08.org.debian:01:guest
stranger=iqn.1993-08.org.debian:01:stranger
configfs=/sys/kernel/config/target
portals=127.0.0.1:3260,[::1]:3260
passed=0 failed=0

step() { echo "-- $* ($SECONDS s)"; }
expect() { # WHAT COMMAND...
    local what=$1
    shift
    if "$@" >/tmp/out 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "WRONG: $what: $*"
        sed 's/^/    /' /tmp/out
    fi
}
refuse() { # WHAT COMMAND...
    local what=$1
    shift
    if "$@" >/tmp/out 2>&1; then
        failed=$((failed + 1))
        echo "WRONG: $what: $*"
    else
        passed=$((passed + 1))
    fi
}
until_true() { # COMMAND..., for ten seconds
    local _
    for _ in {1..200}; do
        "$@" >/dev/null 2>&1 && return
        sleep 0.05
    done
    return 1
}
gone() { [[ $(find "$configfs" 2>/dev/null | grep -c volume-) = 0 ]]; }
connection_data() { sed -n 's/^{/{/p' "/tmp/attached" | python3 -c "import json,sys; print(json.load(sys.stdin)['data']['$1'])"; }
attach() { # VOLUME KEYS...
    "$verbs" lio attach "$1" "portals=$portals" "name=$us" "${@:2}" >/tmp/attached 2>/tmp/why || { cat /tmp/why; return 1; }
    grep '^#' /tmp/attached
}
node() { iscsiadm -m node -T "$(connection_data target_iqn)" -p "$1" -I "${interface:-default}" "${@:2}"; }
record() { # PORTAL PASSWORD
    node "$1" -o new
    node "$1" -o update -n node.session.auth.authmethod -v CHAP
    node "$1" -o update -n node.session.auth.username -v "$(connection_data auth_username)"
    node "$1" -o update -n node.session.auth.password -v "$2"
    node "$1" -o update -n node.session.initial_login_retry_max -v 1
    # A session that was cut gives up soon, and its reads with it.
    node "$1" -o update -n node.session.timeo.replacement_timeout -v 2
} >/dev/null
disk() { readlink -f "/dev/disk/by-path/ip-127.0.0.1:3260-iscsi-$(connection_data target_iqn)-lun-0"; }
log_in() {
    record 127.0.0.1:3260 "$(connection_data auth_password)"
    node 127.0.0.1:3260 --login && until_true test -b "$(disk)" && udevadm settle -t 30
}
log_out() { iscsiadm -m node -u >/dev/null 2>&1; until_true no_sessions; }
no_sessions() { [[ -z $(ls /sys/class/iscsi_session 2>/dev/null) ]]; }
size_is() { [[ $(blockdev --getsize64 "$(disk)") = "$1" ]]; }
same() { dd "if=$(disk)" iflag=direct bs=1M count=8 status=none | cmp - /tmp/content; }
fill() { dd if=/tmp/content "of=$(disk)" oflag=direct bs=1M status=none; }

mkdir -p /etc/iscsi
echo "InitiatorName=$us" >/etc/iscsi/initiatorname.iscsi
iscsid
until_true pgrep iscsid
iscsiadm -m iface -I other -o new >/dev/null
iscsiadm -m iface -I other -o update -n iface.initiatorname -v "$stranger" >/dev/null
modprobe loop
dd if=/dev/urandom of=/tmp/content bs=1M count=8 status=none

life_of() { # VOLUME STORE GROW: on a device or a file
    local volume=$1 store=$2
    step "exported from $store, to us"
    expect "it is exported" attach "$volume" "store=$store" discard
    cat /tmp/out
    record 127.0.0.1:3260 wrongwrong1234
    refuse "a wrong secret is let in" node 127.0.0.1:3260 --login
    expect "we are let in" log_in
    record "[::1]:3260" "$(connection_data auth_password)"
    expect "we are let in by IPv6" node "[::1]:3260" --login
    expect "udev knows it by its id" test -e "/dev/disk/by-id/wwn-0x6001405$(tr -d - <<<"$volume" | cut -c 1-9)"*
    expect "it is written" fill
    expect "it is read back" same

    step "a stranger"
    interface=other record 127.0.0.1:3260 "$(connection_data auth_password)"
    refuse "one who is on no list is let in" interface_other_login
    refuse "it receives what there is" iscsiadm -m discovery -t st -p 127.0.0.1:3260 -I other -o nonpersistent
    interface=other node 127.0.0.1:3260 -o delete

    step "grown while we are on it"
    "$3"
    expect "the new size is reported" "$verbs" lio resized "$volume"
    iscsiadm -m session -R >/dev/null
    expect "we see it" until_true size_is $((128 << 20))

    step "shut out while we are on it"
    expect "shut out" "$verbs" lio shut-out "$volume" "name=$us"
    refuse "we still read" timeout 10 dd "if=$(disk)" of=/dev/null bs=4k count=1 iflag=direct
    log_out

    step "for reading only"
    expect "let in" attach "$volume" "store=$store" mode=ro "auth=CHAP $(connection_data auth_username) $(connection_data auth_password)"
    expect "log in" log_in
    refuse "it is written" fill
    expect "it is read" same

    step "removed while we are on it"
    expect "removed" "$verbs" lio remove "$volume"
    expect "nothing is left" gone
    log_out
    iscsiadm -m node -o delete >/dev/null 2>&1
}
interface_other_login() { interface=other node 127.0.0.1:3260 --login; }
grow_device() { truncate -s 128M /disk; losetup -c "$loop"; }
grow_file() { truncate -s 128M /volume; }

truncate -s 64M /disk /volume
loop=$(losetup -f --show /disk)
device=$(cat /proc/sys/kernel/random/uuid) file=$(cat /proc/sys/kernel/random/uuid)
life_of "$device" "$loop" grow_device
losetup -d "$loop"
life_of "$file" /volume grow_file

step "killed in the middle"
for after in $(seq 20 8 116); do
    # Whatever it got done, the next run completes or removes it.
    timeout -s KILL "0.$(printf %03d "$after")" "$verbs" lio attach "$file" store=/volume "name=$us" >/dev/null 2>&1
    ((after % 16 != 4)) || expect "completed after $after ms" attach "$file" store=/volume
    expect "taken away after $after ms" "$verbs" lio remove "$file"
    expect "nothing is left after $after ms" gone
done

step "another device in its place"
truncate -s 64M /first /second
first=$(losetup -f --show /first) second=$(losetup -f --show /second)
expect "exported" attach "$file" "store=$first"
expect "exported from another" attach "$file" "store=$second"
expect "the first is free" losetup -d "$first"
expect "removed" "$verbs" lio remove "$file"
expect "the second is free" losetup -d "$second"

step "figures"
for _ in 1 2 3; do "$verbs" lio life "$file" store=/volume "name=$us" | grep '^#'; done
echo "$passed passed, $failed failed"
exit $((failed > 0))
