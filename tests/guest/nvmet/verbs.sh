#!/bin/bash
# nvmet for real: exports of the kernel's own NVMe target by examples/target_verbs.rs, and the kernel's own initiator to
# connect, over TCP. Runs as root inside the guest (../README.md has the like for iSCSI):
#
#   cargo build --example target_verbs
#   tests/guest/nvmet/build target/guest-nvmet && tests/guest/nvmet/run target/guest-nvmet verbs.sh
set -u
verbs=/tmp/target_verbs
cp /mnt/host/target_verbs "$verbs"
us=nqn.2014-08.org.nvmexpress:uuid:11111111-2222-4333-8444-555555555555
other=nqn.2014-08.org.nvmexpress:uuid:66666666-7777-4888-8999-aaaaaaaaaaaa
configfs=/sys/kernel/config/nvmet
portals=127.0.0.1:4420,[::1]:4420
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
until_true() { # COMMAND..., for thirty seconds
    local _
    for _ in {1..300}; do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    return 1
}
gone() { [[ -z $(find "$configfs" -mindepth 2 2>/dev/null) ]]; }
attach() { # VOLUME KEYS...
    "$verbs" nvmet attach "$1" "portals=$portals" "${@:2}" >/tmp/attached 2>/tmp/why || { cat /tmp/why; return 1; }
    grep '^#' /tmp/attached
}
connection_data() { grep '^{' /tmp/attached | jq -r ".data.$1"; }
# A host that lost its target gives up at once, unless it is set to wait (--ctrl-loss-tmo, later ones win).
log_in() { # ADDRESS HOST WORDS...
    nvme connect -t tcp -a "$1" -s 4420 -n "$(connection_data target_nqn)" -q "$2" -I "${2##*:}" --ctrl-loss-tmo 1 --reconnect-delay 1 \
        "${@:3}" && until_true test -b "$(disk)" && udevadm settle -t 30
}
log_out() { nvme disconnect -n "$(connection_data target_nqn)" >/dev/null 2>&1; until_true no_disk; }
disk() { readlink -f "/dev/disk/by-id/nvme-uuid.$(connection_data vol_uuid)"; }
no_disk() { [[ -z $(ls /sys/class/nvme 2>/dev/null) ]]; }
size_is() { [[ $(blockdev --getsize64 "$(disk)") = "$1" ]]; }
same() { dd "if=$(disk)" iflag=direct bs=1M count=8 status=none | cmp - /tmp/content; }
fill() { dd if=/tmp/content "of=$(disk)" oflag=direct bs=1M status=none; }

modprobe -a nvme-tcp loop
dd if=/dev/urandom of=/tmp/content bs=1M count=8 status=none

life_of() { # VOLUME STORE GROW: on a device or a file
    local volume=$1 store=$2
    step "exported from $store, to us"
    expect "it is exported" attach "$volume" "store=$store" "name=$us"
    cat /tmp/out
    grep '^{' /tmp/attached
    refuse "one who is on no list is let in" log_in 127.0.0.1 "$other"
    expect "we are let in" log_in 127.0.0.1 "$us"
    expect "we are let in by IPv6" log_in ::1 "$us"
    expect "it is written" fill
    expect "it is read back" same
    nvme list -v 2>/dev/null | head -20

    step "grown while we are on it"
    "$3"
    expect "the new size is reported" "$verbs" nvmet resized "$volume"
    expect "we see it" until_true size_is $((128 << 20))

    step "another is let in, and shut out again: we come back by ourselves"
    log_out
    expect "we are let in for longer" log_in 127.0.0.1 "$us" --ctrl-loss-tmo 30
    expect "the other is let in" attach "$volume" "store=$store" "name=$other"
    # By the other portal: two connections from one machine to one portal are one too many for nvme-cli.
    expect "it connects" log_in ::1 "$other"
    expect "it is shut out" "$verbs" nvmet shut-out "$volume" "portals=$portals" "name=$other"
    refuse "it connects again" log_in ::1 "$other"
    expect "we are back" until_true same

    step "shut out while we are on it"
    expect "shut out" "$verbs" nvmet shut-out "$volume" "portals=$portals" "name=$us"
    refuse "we still read" timeout 5 dd "if=$(disk)" of=/dev/null bs=4k count=1 iflag=direct
    log_out

    step "removed while we are on it"
    expect "let in again" attach "$volume" "store=$store" "name=$us"
    expect "we are on it" log_in 127.0.0.1 "$us"
    expect "it is still there" same
    expect "removed" "$verbs" nvmet remove "$volume" "portals=$portals"
    expect "nothing is left" gone
    log_out
}
grow_device() { truncate -s 128M /disk; losetup -c "$loop"; }
grow_file() { truncate -s 128M /volume; }

rm -f /tmp/back
mkfs.ext4 -q -F /tmp/back 1G && mkdir -p /fs && mount -o loop /tmp/back /fs
truncate -s 64M /fs/disk /fs/volume
ln -s /fs/disk /disk
ln -s /fs/volume /volume
loop=$(losetup -f --show /fs/disk)
device=$(cat /proc/sys/kernel/random/uuid) file=$(cat /proc/sys/kernel/random/uuid)
life_of "$device" "$loop" grow_device
losetup -d "$loop"
life_of "$file" /fs/volume grow_file

step "killed in the middle"
for after in $(seq 100 100 800); do
    timeout -s KILL "0.$(printf %03d "$after")" "$verbs" nvmet attach "$file" "portals=$portals" store=/fs/volume "name=$us" >/dev/null 2>&1
    ((after % 200)) || expect "completed after $after ms" attach "$file" store=/fs/volume "name=$us"
    expect "taken away after $after ms" "$verbs" nvmet remove "$file" "portals=$portals"
    expect "nothing is left after $after ms" gone
done

step "figures"
for _ in 1 2 3; do "$verbs" nvmet life "$file" "portals=$portals" store=/fs/volume "name=$us" | grep '^#'; done
echo "$passed passed, $failed failed"
exit $((failed > 0))
